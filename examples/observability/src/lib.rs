//! The observability of a server's deliveries: metrics, log lines and spans.

mod telemetry;

use axum::{
    Router,
    routing::{MethodRouter, get},
};

pub use crate::telemetry::Telemetry;

/// The server: `hook` takes the deliveries, and Prometheus reads `/metrics`. A proxy should not
/// forward requests for `/metrics`.
pub fn app(hook: MethodRouter, telemetry: &Telemetry) -> Router {
    let metrics = telemetry.metrics();
    Router::new()
        .route("/webhooks/bondify", hook)
        .route("/metrics", get(async move || metrics.render()))
}
