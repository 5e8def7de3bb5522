//! The smallest real server on Rocket: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-rocket`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, net::Ipv4Addr};

use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_support::{port, usage};
use rocket::{Config, config::LogLevel, fairing::AdHoc, post, response::status::NoContent, routes};

#[rocket::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let bondify = Bondify::builder(secret).build()?;
    let config = Config {
        address: Ipv4Addr::LOCALHOST.into(),
        port: port(),
        log_level: LogLevel::Off,
        ..Config::default()
    };
    let announce = AdHoc::on_liftoff("announce", |rocket| {
        Box::pin(async {
            println!("listening on http://127.0.0.1:{}/webhooks/bondify", rocket.config().port);
        })
    });
    // Until Ctrl-C; the mount waits for the running handlers then.
    let mount = bondify.mount("/webhooks", routes![on_event]);
    rocket::custom(config).attach(mount).attach(announce).launch().await?;
    Ok(())
}

#[post("/bondify", data = "<event>")]
async fn on_event(event: BondifyEvent) -> NoContent {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    NoContent
}
