//! A small web app with a "Sign in with Telegram" page. A webhook tells it how the login
//! ended, and it tells the browser that waits: nobody polls.
//!
//! Run it with `cargo run -p example-login` and open the address that it prints: it starts
//! a Bondify of its own, on which you play the user. With `BONDIFY_PROJECT_ID` and
//! `BONDIFY_WEBHOOK_SECRET` set it uses that project instead, at `BONDIFY_API_URL` if that
//! is set too; the project's webhook URL then has to lead to `/webhooks/bondify`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{env, net::SocketAddr, time::Duration};

use anyhow::Context;
use bondify_axum::{Bondify, Secret, Shutdown};
use bondify_client::{Client, Sessions};
use bondify_emulator::{Emulator, ProjectSettings};
use example_support::{port, usage};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    let url = format!("http://{}", listener.local_addr()?);

    let (sessions, secret, _emulator) = match env::var("BONDIFY_PROJECT_ID") {
        Ok(project_id) => {
            let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
            let api =
                env::var("BONDIFY_API_URL").unwrap_or_else(|_| Client::DEFAULT_BASE_URL.to_owned());
            (sessions(&api, project_id), secret, None)
        }
        Err(_) => {
            let project = ProjectSettings::new()
                .id("proj_login")
                .name("Login example")
                .webhook_url(format!("{url}/webhooks/bondify"))
                .public_access(true);
            let emulator = Emulator::builder().project(project).start().await?;
            let secret = emulator.project("proj_login")?.secret().clone();
            println!("a local Bondify is on {}", emulator.url());
            (sessions(emulator.url(), "proj_login".to_owned()), secret, Some(emulator))
        }
    };

    let bondify = Bondify::builder(secret).build()?;
    let app = example_login::app(sessions, &bondify);
    println!("sign in on {url}");
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.requested());
    tokio::select! {
        served = server => served?,
        // Browsers that wait for a login hold connections, which are cut off.
        () = shutdown.deadline(Duration::from_secs(1)) => {}
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

fn sessions(api: &str, project_id: String) -> Sessions {
    Client::builder().base_url(api).build().unwrap_or_else(usage).sessions(project_id)
}
