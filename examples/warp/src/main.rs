//! The smallest real server on warp: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-warp`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, time::Duration};

use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_support::{port, usage};
use tokio::{net::TcpListener, signal::ctrl_c};
use warp::{Filter, http::StatusCode};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let path = warp::path!("webhooks" / "bondify").and(warp::post());
    let app = path.and(bondify.webhook(on_event));

    let listener = TcpListener::bind(("127.0.0.1", port())).await?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    warp::serve(app).incoming(listener).graceful(interrupted).run().await;
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
