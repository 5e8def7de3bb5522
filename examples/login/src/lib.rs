//! The web app: who is signed in, who is about to be, and the pages for both.

mod accounts;
mod logins;
mod pages;
mod webhook;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use bondify_axum::{Bondify, BondifyExt};
use bondify_client::Sessions;

use crate::{accounts::Accounts, logins::Logins};

/// The app, which begins logins through `sessions` and hears of their end through
/// `bondify`, at `/webhooks/bondify`.
pub fn app(sessions: Sessions, bondify: &Bondify) -> Router {
    let state = AppState { sessions, logins: Arc::default(), accounts: Arc::default() };
    Router::new()
        .route("/", get(pages::home))
        .route("/login", post(pages::begin).get(pages::wait))
        .route("/login/events", get(pages::events))
        .route("/login/done", get(pages::done))
        .route("/logout", post(pages::sign_out))
        .route("/style.css", get(pages::style))
        .route("/login.js", get(pages::script))
        .route("/webhooks/bondify", bondify.post(webhook::on_event))
        .with_state(state)
}

/// Held in memory: a real app has a database for the accounts.
#[derive(Clone)]
struct AppState {
    sessions: Sessions,
    logins: Arc<Logins>,
    accounts: Arc<Accounts>,
}

/// 128 random bits that nobody guesses.
fn random_id() -> String {
    let [a, b] = [(); 2].map(|()| getrandom::u64().expect("the system has randomness"));
    format!("{a:016x}{b:016x}")
}
