use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{
    Layer, filter::LevelFilter, fmt, fmt::format::FmtSpan, layer::SubscriberExt,
    util::SubscriberInitExt,
};

const SERVICE: &str = "example-observability";

/// The exporter of spans of this process.
#[derive(Debug)]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Prints log lines, and sends spans to the OpenTelemetry collector at that address, if there is one.
    ///
    /// # Errors
    ///
    /// If the address is malformed, or the process has another subscriber.
    pub fn install(collector: Option<&str>) -> anyhow::Result<Self> {
        let spans = collector.map(exporter).transpose()?;
        let exported = spans.as_ref().map(|spans| {
            let layer = tracing_opentelemetry::layer().with_tracer(spans.tracer(SERVICE));
            layer.with_filter(LevelFilter::INFO)
        });
        // A line for each delivery, when it ends.
        let printed = fmt::layer().with_span_events(FmtSpan::CLOSE).with_writer(std::io::stderr);
        let printed = printed.with_filter(LevelFilter::INFO);
        tracing_subscriber::registry().with(exported).with(printed).try_init()?;
        Ok(Self { spans })
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

fn exporter(collector: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http();
    let exporter = exporter.with_endpoint(format!("{collector}/v1/traces")).build();
    let exporter = exporter.with_context(|| format!("cannot send spans to {collector}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build())
}
