//! A framework without an adapter of its own, poem, through `bondify-tower`: takes
//! Bondify's webhooks at `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each
//! event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-poem`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, time::Duration};

use bondify_tower::{Bondify, BondifyEvent, BondifyExt, Secret};
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
use tokio::signal::ctrl_c;
use tower::{Layer, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let hook = bondify.layer().layer(service_fn(on_event));
    let app = Route::new().at("/webhooks/bondify", post(hook.compat()));

    let acceptor = TcpListener::bind(("127.0.0.1", port())).into_acceptor().await?;
    for address in acceptor.local_addr().iter().filter_map(|address| address.as_socket_addr()) {
        println!("listening on http://{address}/webhooks/bondify");
    }
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    let server = Server::new_with_acceptor(acceptor);
    server.run_with_graceful_shutdown(app, interrupted, None).await?;
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

async fn on_event(request: Request<Full<Bytes>>) -> poem::Result<Response<Full<Bytes>>> {
    let event = BondifyEvent::from_extensions(request.extensions()).map_err(InternalServerError)?;
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    let mut response = Response::default();
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    Ok(response)
}
