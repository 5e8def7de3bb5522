//! The smallest real server: takes Bondify's webhooks at `POST /webhooks/bondify` on
//! 127.0.0.1 and prints a line for each event it handles.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-axum`; `PORT` is 3000
//! unless set. Ctrl-C ends it once the running handlers are done.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of a program"
)]

use std::{env, error::Error, process::ExitCode, time::Duration};

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> ExitCode {
    let (secret, port) = match settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(secret, port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Result<(Secret, u16), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET")?;
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let port = port
        .parse()
        .map_err(|_| format!("PORT must be a port number, not {port:?}"))?;
    Ok((secret, port))
}

async fn serve(secret: Secret, port: u16) -> Result<(), Box<dyn Error>> {
    let bondify = Bondify::builder(secret).build()?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!(
        "listening on http://{}/webhooks/bondify",
        listener.local_addr()?
    );
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app)
        .with_graceful_shutdown(interrupted)
        .await?;
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
