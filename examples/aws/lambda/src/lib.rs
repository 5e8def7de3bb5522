//! Routes for AWS Lambda, which freezes a process once it has answered.

use std::time::Duration;

use anyhow::ensure;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use bondify_axum::Bondify;
use tokio::time::{Instant, timeout_at};

/// Bondify waits for an answer for ten seconds. One is left to send it.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);

/// Lets the answers of `routes` wait until nothing is left to the background, where it would be frozen.
///
/// # Errors
///
/// If the store is in memory.
pub fn on_lambda(bondify: &Bondify, routes: Router) -> anyhow::Result<Router> {
    ensure!(
        bondify.is_verify_only() || !bondify.forgets_on_restart(),
        "the dedupe store is in memory: on Lambda each instance has a memory of its own, so that duplicates \
         would be handled again; set a store that the instances share"
    );
    Ok(routes.layer(middleware::from_fn_with_state(bondify.clone(), until_idle)))
}

async fn until_idle(State(bondify): State<Bondify>, request: Request, next: Next) -> Response {
    let answer_by = Instant::now() + ANSWER_WITHIN;
    let response = next.run(request).await;
    // If it is too late, the answer stands nevertheless: the handler would not undo its effect for another one.
    let _too_late = timeout_at(answer_by, bondify.idle()).await;
    response
}
