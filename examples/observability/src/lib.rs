//! A server's deliveries seen from outside: metrics, log lines and spans.

mod telemetry;

use axum::{
    Router,
    routing::{MethodRouter, get},
};

pub use crate::telemetry::Telemetry;

/// The server: `hook` takes the deliveries, and Prometheus reads `/metrics`. A proxy should not pass
/// on requests for that.
pub fn app(hook: MethodRouter, telemetry: &Telemetry) -> Router {
    let metrics = telemetry.metrics();
    Router::new()
        .route("/webhooks/bondify", hook)
        .route("/metrics", get(async move || metrics.render()))
}
