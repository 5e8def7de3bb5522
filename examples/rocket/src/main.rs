//! The smallest real server on Rocket: takes Bondify's webhooks at
//! `POST /webhooks/bondify` on 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-rocket`; `PORT` is 3000
//! unless set. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use example_support::{port, usage};
use rocket::{
    Config, config::LogLevel, error::ErrorKind, fairing::AdHoc, post, response::status::NoContent,
    routes,
};

#[rocket::main]
async fn main() -> anyhow::Result<()> {
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
    let address = SocketAddr::new(config.address, config.port);
    let shutdown = Shutdown::on_signal()?;
    let mount = bondify.mount("/webhooks", routes![on_event]);
    let rocket = rocket::custom(config).attach(mount).attach(announce).ignite().await?;
    let stop = rocket.shutdown();
    rocket::tokio::spawn(async move {
        shutdown.requested().await;
        stop.notify(); // the mount waits for the running handlers
    });
    match rocket.launch().await {
        // Closes the connections that are still open.
        Err(error) if matches!(error.kind(), ErrorKind::Shutdown(_, None)) => Ok(()),
        launched => launched.map(drop).with_context(|| format!("cannot listen on {address}")),
    }
}

#[post("/bondify", data = "<event>")]
async fn on_event(event: BondifyEvent) -> NoContent {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    NoContent
}
