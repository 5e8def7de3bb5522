//! ntex through the adapter of this example's library: takes Bondify's webhooks at `POST /webhooks/bondify`
//! on 127.0.0.1:3000 and prints a line for each event it handles.
//!
//! Run it in this folder with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run`. Ctrl-C and SIGTERM end it once the running
//! handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::time::Duration;

use bondify_core::{Bondify, Secret};
use bondify_ntex::{BondifyEvent, Hook};
use ntex::web::{self, App, HttpServer, guard};

#[ntex::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET")?;
    let bondify = Bondify::builder(secret).build()?;
    let hooked = bondify.clone();
    let app = async move || {
        let resource = web::resource("/webhooks/bondify").guard(guard::Post());
        App::new().service(resource.middleware(Hook::new(&hooked)).to(on_event))
    };
    println!("listening on http://127.0.0.1:3000/webhooks/bondify");
    HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?;
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn on_event(event: BondifyEvent) -> web::HttpResponse {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    web::HttpResponse::NoContent().finish()
}
