//! The parts that the programs in `src/bin` share: the users, the pages, and the sign-in.

mod page;
mod users;

use std::env;

use anyhow::Context;
use bondify_axum::{Bondify, Secret, client::Client, login::Login};
use bondify_emulator::{Emulator, ProjectSettings};

pub use crate::{
    page::Page,
    users::{SignIn, User, Users},
};

/// The port to listen on: that of the environment variable `PORT`, or 3000.
///
/// # Errors
///
/// If the variable is no port number.
pub fn port() -> anyhow::Result<u16> {
    env::var("PORT").map_or(Ok(3000), |port| port.parse().context("PORT is no port number"))
}

/// The sign-in of an app at `origin`, and its users.
///
/// It uses the project of `BONDIFY_PROJECT_ID`, at `BONDIFY_API_URL` if that is set. Without a project it starts a
/// local Bondify, on which you play the user. The users are in `DATABASE_URL`, or in the file `sessions.db`.
///
/// # Errors
///
/// If a setting is missing or the database does not open.
pub async fn start(origin: &str) -> anyhow::Result<(Login, Users)> {
    let users =
        env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:sessions.db?mode=rwc".to_owned());
    let users = Users::open(&users).await?;
    let (api, project, secret) = match env::var("BONDIFY_PROJECT_ID") {
        Ok(project) => {
            let api = env::var("BONDIFY_API_URL").unwrap_or(Client::DEFAULT_BASE_URL.to_owned());
            (api, project, Secret::from_env("BONDIFY_WEBHOOK_SECRET")?)
        }
        Err(_) => {
            let project = ProjectSettings::new().id("proj_shop").name("Shop").public_access(true);
            let local = Emulator::builder().project(project).start().await?;
            let secret = local.project("proj_shop")?.secret();
            let api = local.url().to_owned();
            std::mem::forget(local); // it runs as long as the program
            (api, "proj_shop".to_owned(), secret)
        }
    };
    let bondify = Bondify::builder(secret).build()?;
    let login =
        Login::builder(Client::builder().base_url(api).build()?.sessions(project), &bondify)
            .origin(origin)
            .app_name("Shop")
            .build()?;
    Ok((login, users))
}
