//! The smallest real server on warp: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-warp`; `PORT` is 3000
//! unless set. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use example_support::{port, usage};
use tokio::net::TcpListener;
use warp::{Filter, http::StatusCode};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let path = warp::path!("webhooks" / "bondify").and(warp::post());
    let app = path.and(bondify.webhook(on_event));

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    tokio::select! {
        () = warp::serve(app).incoming(listener).graceful(shutdown.requested()).run() => {}
        () = shutdown.deadline(Duration::from_secs(5)) => {} // open connections are cut off
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
