//! The axum server with observability: Prometheus reads its metrics from a listener of their own, each
//! delivery is a line on standard error, and with `OTEL_EXPORTER_OTLP_ENDPOINT=http://…:4318` also a
//! span in an OpenTelemetry collector. Beside it, a Grafana dashboard and Prometheus alerts.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-observability`; `PORT` is 3000
//! and `METRICS_ADDRESS` 127.0.0.1:9464 unless set. Ctrl-C and SIGTERM end it once the running
//! handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{env, net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use example_observability::{Telemetry, record_metrics};
use example_support::{port, usage};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let (port, metrics) = (port(), metrics_address());
    record_metrics(metrics).with_context(|| format!("cannot serve metrics on {metrics}"))?;
    let telemetry = Telemetry::install(env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().as_deref())?;
    let bondify = Bondify::builder(secret).build()?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.requested());
    tokio::select! {
        served = server => served?,
        () = shutdown.deadline(Duration::from_secs(4)) => {} // open connections are cut off
    }
    bondify.drain(Duration::from_secs(4)).await?;
    telemetry.flush()
}

/// The address that Prometheus connects to. Of other machines, only Prometheus should reach it.
fn metrics_address() -> SocketAddr {
    let address = env::var("METRICS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:9464".to_owned());
    address.parse().unwrap_or_else(|_| usage(format!("METRICS_ADDRESS is no address: {address}")))
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
