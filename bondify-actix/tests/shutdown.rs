//! The shutdown that the README documents, in a process of its own, since a signal goes to the process.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, web};
use bondify_actix::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use bondify_testkit::{
    shutdown::{open_connections, terminate_this_process},
    within_a_minute,
};
use futures_util::{StreamExt, stream};

#[actix_web::test]
async fn it_ends_beside_an_open_stream_and_half_a_head() {
    let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
    let receiver = bondify.clone();
    let app = move || {
        let on_event = web::post().to(async |_: BondifyEvent| HttpResponse::Ok());
        let hook = web::resource("/").wrap(receiver.middleware()).route(on_event);
        App::new().service(hook).route("/events", web::get().to(endless))
    };
    let shutdown = Shutdown::on_signal().unwrap();
    // As in the README, with a shorter time.
    let server = HttpServer::new(app).shutdown_signal(shutdown.requested()).shutdown_timeout(1);
    let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = actix_web::rt::spawn(server.run());

    let _open = open_connections(address).await.unwrap();
    terminate_this_process();
    within_a_minute(server).await.unwrap().unwrap();
    bondify.drain(Duration::from_secs(5)).await.unwrap();
}

async fn endless() -> HttpResponse {
    let first = stream::iter([Ok::<_, Infallible>("data: 1\n\n".into())]);
    HttpResponse::Ok().streaming(first.chain(stream::pending()))
}
