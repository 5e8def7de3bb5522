//! A framework without an adapter of its own, poem, through `bondify-tower`: takes
//! Bondify's webhooks at `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each
//! event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-poem`; `PORT` is 3000
//! unless set. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bondify_tower::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use bytes::Bytes;
use example_support::{port, usage};
use http::{Request, Response};
use http_body_util::Full;
use poem::{
    Route, Server,
    endpoint::TowerCompatExt,
    error::InternalServerError,
    listener::{Acceptor, Listener, TcpListener},
    post,
};
use tower::{Layer, service_fn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let hook = bondify.layer().layer(service_fn(on_event));
    let app = Route::new().at("/webhooks/bondify", post(hook.compat()));

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::bind(address).into_acceptor().await;
    let acceptor = listening.with_context(|| format!("cannot listen on {address}"))?;
    for address in acceptor.local_addr().iter().filter_map(|address| address.as_socket_addr()) {
        println!("listening on http://{address}/webhooks/bondify");
    }
    let server = Server::new_with_acceptor(acceptor);
    let grace = Some(Duration::from_secs(5)); // after which open connections are cut off
    server.run_with_graceful_shutdown(app, shutdown.requested(), grace).await?;
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn on_event(request: Request<Full<Bytes>>) -> poem::Result<Response<Full<Bytes>>> {
    let event = BondifyEvent::from_extensions(request.extensions()).map_err(InternalServerError)?;
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    let mut response = Response::default();
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    Ok(response)
}
