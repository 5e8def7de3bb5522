//! Salvo through the adapter of this example's library: takes Bondify's webhooks at `POST /webhooks/bondify`
//! on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-salvo`; `PORT` is 3000
//! unless set. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bondify_core::{Bondify, Secret, Shutdown};
use bondify_salvo::{BondifyEvent, Hook};
use example_support::{port, usage};
use salvo::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let hook = Hook::new(&bondify, on_event);
    let app = Router::with_path("webhooks/bondify").post(hook);

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::new(address).try_bind().await;
    let acceptor = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", acceptor.local_addr()?);
    let server = Server::new(acceptor);
    let handle = server.handle();
    tokio::spawn(async move {
        shutdown.requested().await;
        handle.stop_graceful(Duration::from_secs(5)); // after which open connections are cut off
    });
    server.try_serve(app).await?;
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

#[handler]
async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
