//! A single-page app with a "Sign in with Telegram", on a local Bondify on which you play the
//! user. The app is `assets/app.js`: `fetch` and plain JavaScript, whose comments have its types in
//! TypeScript's form. So there is nothing to build, and `npx -p typescript tsc` checks it, as set in
//! `tsconfig.json`.
//!
//! Run it with `cargo run -p example-spa` and open the address that it prints; `PORT` is 3000
//! unless set.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{error::Error, time::Duration};

use bondify_axum::{Bondify, Shutdown, client::Client, login::Login};
use bondify_emulator::{Emulator, ProjectSettings};
use example_support::port;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shutdown = Shutdown::on_signal()?;
    let listener = TcpListener::bind(("127.0.0.1", port())).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let project = ProjectSettings::new().id("proj_spa").name("SPA example").public_access(true);
    let emulator = Emulator::builder().project(project).start().await?;
    println!("a local Bondify is on {}", emulator.url());

    let bondify = Bondify::builder(emulator.project("proj_spa")?.secret()).build()?;
    let client = Client::builder().base_url(emulator.url()).build()?;
    let login = Login::builder(client.sessions("proj_spa"), &bondify).origin(&*url).build()?;
    println!("sign in on {url}");
    let app = example_spa::app(&login);
    let requested = shutdown.requested();
    let closed = async move {
        requested.await;
        login.close();
    };
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(closed) => served?,
        () = shutdown.deadline(Duration::from_secs(1)) => {}
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}
