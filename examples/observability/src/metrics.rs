use std::net::SocketAddr;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};

/// The upper bounds of the buckets of histograms, in seconds. Bondify waits 10 seconds for an answer.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Records metrics, and serves them to Prometheus on a listener of their own. Call it in a tokio
/// runtime, before a `Bondify` is built.
pub fn record_metrics(address: SocketAddr) -> Result<(), BuildError> {
    PrometheusBuilder::new().set_buckets(&BUCKETS)?.with_http_listener(address).install()
}
