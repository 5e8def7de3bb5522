//! The smallest real server on actix-web: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-actix`; `PORT` is 3000
//! unless set. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{net::SocketAddr, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use bondify_actix::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use example_support::{port, usage};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let receiver = bondify.clone();
    let app = move || {
        let hook = web::resource("/webhooks/bondify").wrap(receiver.middleware());
        App::new().service(hook.route(web::post().to(on_event)))
    };

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let server = HttpServer::new(app).shutdown_signal(shutdown.requested()).shutdown_timeout(5);
    let server = server.bind(address).with_context(|| format!("cannot listen on {address}"))?;
    for address in server.addrs() {
        println!("listening on http://{address}/webhooks/bondify");
    }
    server.run().await?; // open connections are cut off after 5 seconds
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn on_event(event: BondifyEvent) -> HttpResponse {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    HttpResponse::NoContent().finish()
}
