//! The shutdown that the README documents, in a process of its own, since a signal goes to the process.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, error::Error, time::Duration};

use axum::{Router, body::Body, routing::get};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use bondify_testkit::{
    shutdown::{open_connections, terminate_this_process},
    within_a_minute,
};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_beside_an_open_stream_and_half_a_head() {
    let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
    let app = Router::new()
        .route("/", bondify.post(async |_: BondifyEvent| ()))
        .route("/events", get(endless));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::on_signal().unwrap();
    let server = tokio::spawn(async {
        serve(listener, app, bondify, shutdown).await.map_err(|error| error.to_string())
    });

    let _open = open_connections(address).await.unwrap();
    terminate_this_process();
    within_a_minute(server).await.unwrap().unwrap();
}

/// Serves as the README does, with shorter times.
async fn serve(
    listener: TcpListener,
    app: Router,
    bondify: Bondify,
    shutdown: Shutdown,
) -> Result<(), Box<dyn Error>> {
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.requested());
    tokio::select! {
        served = server => served?,
        () = shutdown.deadline(Duration::from_millis(200)) => {}
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn endless() -> Body {
    let first = stream::iter([Ok::<_, Infallible>("data: 1\n\n")]);
    Body::from_stream(first.chain(stream::pending()))
}
