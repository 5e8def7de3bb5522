//! The observability of a server's deliveries: metrics, log lines and spans.

mod metrics;
mod telemetry;

pub use crate::{metrics::record_metrics, telemetry::Telemetry};
