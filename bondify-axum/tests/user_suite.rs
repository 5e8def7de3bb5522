//! The contract suite for users against axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

use axum::{Router, extract::FromRef, middleware::from_extractor_with_state, routing::get};
use bondify_axum::{BondifyUser, ProofVerifier};
use bondify_testkit::{
    http_suite::Server,
    user_suite::{Adapter, MAYBE, ME, NOBODY, TWICE},
};
use tokio::net::TcpListener;

bondify_testkit::user_suite!(Axum);

struct Axum;

#[derive(Clone, FromRef)]
struct AppState {
    proofs: ProofVerifier,
    guest: &'static str,
}

impl Adapter for Axum {
    async fn serve(proofs: ProofVerifier) -> Server {
        let state = AppState { proofs, guest: NOBODY };
        let users_only = from_extractor_with_state::<BondifyUser, _>(state.clone());
        let app = Router::new()
            .route(TWICE, get(me).route_layer(users_only))
            .route(ME, get(me))
            .route(MAYBE, get(maybe))
            .with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server::new(address, async { axum::serve(listener, app).await.unwrap() })
    }
}

async fn me(user: BondifyUser) -> String {
    user.id().to_string()
}

async fn maybe(
    user: Option<BondifyUser>,
    axum::extract::State(guest): axum::extract::State<&'static str>,
) -> String {
    user.map_or_else(|| guest.to_owned(), |user| user.id().to_string())
}
