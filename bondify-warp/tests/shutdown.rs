//! The shutdown that the README documents, in a process of its own, since a signal goes to the process.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, time::Duration};

use bondify_testkit::{
    shutdown::{open_connections, terminate_this_process},
    within_a_minute,
};
use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use warp::{Filter, Rejection, Reply, http::StatusCode, sse};

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_beside_an_open_stream_and_half_a_head() {
    let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
    let events = warp::path!("events").and(warp::get()).map(endless);
    let hook = warp::post().and(bondify.webhook(async |_: BondifyEvent| StatusCode::OK));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::on_signal().unwrap();
    let server = tokio::spawn(serve(listener, events.or(hook), bondify, shutdown));

    let _open = open_connections(address).await.unwrap();
    terminate_this_process();
    within_a_minute(server).await.unwrap();
}

/// Serves as the README does, with shorter times.
async fn serve<F>(listener: TcpListener, app: F, bondify: Bondify, shutdown: Shutdown)
where
    F: Filter<Extract: Reply, Error = Rejection> + Clone + Send + Sync + 'static,
{
    tokio::select! {
        () = warp::serve(app).incoming(listener).graceful(shutdown.requested()).run() => {}
        () = shutdown.deadline(Duration::from_millis(200)) => {}
    }
    bondify.drain(Duration::from_secs(5)).await.unwrap();
}

fn endless() -> impl Reply {
    let first = stream::iter([Ok::<_, Infallible>(sse::Event::default().data("1"))]);
    sse::reply(first.chain(stream::pending()))
}
