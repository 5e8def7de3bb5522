//! The smallest real server on axum: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-axum`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, time::Duration};

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_support::{port, usage};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let listener = TcpListener::bind(("127.0.0.1", port())).await?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await?;
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
