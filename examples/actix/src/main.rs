//! The smallest real server on actix-web: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-actix`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, web};
use bondify_actix::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_support::{port, usage};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let receiver = bondify.clone();
    let app = move || {
        let hook = web::resource("/webhooks/bondify").wrap(receiver.middleware());
        App::new().service(hook.route(web::post().to(on_event)))
    };

    let server = HttpServer::new(app).bind(("127.0.0.1", port()))?;
    for address in server.addrs() {
        println!("listening on http://{address}/webhooks/bondify");
    }
    server.run().await?; // until Ctrl-C
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

async fn on_event(event: BondifyEvent) -> HttpResponse {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    HttpResponse::NoContent().finish()
}
