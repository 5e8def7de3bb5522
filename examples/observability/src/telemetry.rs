use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{
    Layer, filter::LevelFilter, fmt, fmt::format::FmtSpan, layer::SubscriberExt,
    util::SubscriberInitExt,
};

const SERVICE: &str = "example-observability";

/// The upper bounds of a histogram's buckets, in seconds. Bondify waits 10 seconds for an answer.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The recorder of metrics and the exporter of spans of this process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: PrometheusHandle,
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Records metrics, prints log lines, and sends spans to the OpenTelemetry collector at that
    /// address, if there is one.
    ///
    /// # Errors
    ///
    /// If the address is malformed, or the process has another recorder or subscriber.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn install(collector: Option<&str>) -> anyhow::Result<Self> {
        let metrics = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
        tokio::spawn(keep_up(metrics.clone()));
        let spans = collector.map(exporter).transpose()?;
        let exported = spans.as_ref().map(|spans| {
            let layer = tracing_opentelemetry::layer().with_tracer(spans.tracer(SERVICE));
            layer.with_filter(LevelFilter::INFO)
        });
        // A line for each delivery, when it ends.
        let printed = fmt::layer().with_span_events(FmtSpan::CLOSE).with_writer(std::io::stderr);
        let printed = printed.with_filter(LevelFilter::INFO);
        tracing_subscriber::registry().with(exported).with(printed).try_init()?;
        Ok(Self { metrics, spans })
    }

    pub(crate) fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }

    /// Sends the remaining spans. Blocks until the collector has them.
    ///
    /// # Errors
    ///
    /// If the collector does not accept them.
    pub fn flush(self) -> anyhow::Result<()> {
        let sent = self.spans.map_or(Ok(()), |spans| spans.shutdown());
        sent.context("cannot send the last spans to the collector")
    }
}

/// Drains the samples of histograms, which the recorder would otherwise keep.
async fn keep_up(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(Duration::from_secs(5));
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}

fn exporter(collector: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http();
    let exporter = exporter.with_endpoint(format!("{collector}/v1/traces")).build();
    let exporter = exporter.with_context(|| format!("cannot send spans to {collector}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build())
}
