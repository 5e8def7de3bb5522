//! The shutdown that the README documents, in a process of its own, since a signal goes to the process.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use bondify_testkit::{
    shutdown::{open_connections, terminate_this_process},
    within_a_minute,
};
use rocket::{
    Config, Rocket,
    config::Shutdown as Times,
    error::ErrorKind,
    fairing::AdHoc,
    futures::future,
    get, post,
    response::stream::{Event, EventStream},
    routes,
};
use tokio::sync::oneshot;

#[post("/", data = "<_event>")]
async fn on_event(_event: BondifyEvent) {}

#[get("/events")]
fn endless(shutdown: rocket::Shutdown) -> EventStream![] {
    drop(shutdown); // a stream that does not end on a shutdown
    EventStream! {
        yield Event::data("1");
        future::pending::<()>().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_beside_an_open_stream_and_half_a_head() {
    let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
    let (listening, address) = oneshot::channel();
    let listening = std::sync::Mutex::new(Some(listening));
    let announce = AdHoc::on_liftoff("announce", move |rocket: &Rocket<_>| {
        let listening = listening.lock().unwrap().take().unwrap();
        let config = rocket.config();
        listening.send(SocketAddr::new(config.address, config.port)).unwrap();
        Box::pin(async {})
    });
    let times = Times { grace: 1, mercy: 0, ..Times::default() };
    let config = Config { port: 0, shutdown: times, ..Config::debug_default() };
    let mount = bondify.mount("/", routes![on_event]);
    let rocket = rocket::custom(config).mount("/", routes![endless]).attach(mount).attach(announce);

    // As in the README.
    let shutdown = Shutdown::on_signal().unwrap();
    let rocket = rocket.ignite().await.unwrap();
    let stop = rocket.shutdown();
    tokio::spawn(async move {
        shutdown.requested().await;
        stop.notify();
    });
    let server = tokio::spawn(async {
        match rocket.launch().await {
            Err(error) if matches!(error.kind(), ErrorKind::Shutdown(_, None)) => Ok(()),
            launched => launched.map(drop).map_err(|error| error.to_string()),
        }
    });

    let _open = open_connections(address.await.unwrap()).await.unwrap();
    terminate_this_process();
    within_a_minute(server).await.unwrap().unwrap();
}
