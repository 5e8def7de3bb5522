//! Stores each event in a job queue and answers at once. Workers handle the events with
//! retries, and a list keeps the jobs that failed for good. The queue is [apalis] on SQLite, in the
//! file `queue.db` without any set-up; `DATABASE_URL` selects PostgreSQL (`postgres://…`) or another
//! file (`sqlite:PATH`).
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-queue`; `PORT` is 3000
//! unless set. With the argument `dead` it lists the dead jobs, with `retry` it puts them back
//! into the queue. Ctrl-C and SIGTERM end it once the running jobs are done.
//!
//! [apalis]: https://docs.rs/apalis

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]

mod database;
mod worker;

use std::{env, net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret, Shutdown};
use example_support::{port, usage};
use tokio::net::TcpListener;

use crate::database::Database;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:queue.db".to_owned());
    match env::args().nth(1).as_deref() {
        None => {
            let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
            serve(secret, port(), Database::connect(&url).await?).await
        }
        Some("dead") => {
            for (job, error) in Database::connect(&url).await?.dead().await? {
                println!("{job}: {}", error.unwrap_or_default());
            }
            Ok(())
        }
        Some("retry") => {
            println!("{} jobs to retry", Database::connect(&url).await?.retry().await?);
            Ok(())
        }
        Some(other) => usage(format!("the argument must be dead or retry: {other}")),
    }
}

async fn serve(secret: Secret, port: u16, database: Database) -> anyhow::Result<()> {
    // No dedupe store is needed: the queue refuses a second job for one event.
    let bondify = Bondify::builder(secret).verify_only().build()?;
    let app = Router::new()
        .route("/webhooks/bondify", bondify.post(on_event))
        .with_state(database.clone());

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.requested());
    let worker = worker::run(database, shutdown.clone());
    tokio::select! {
        (served, ()) = async { tokio::join!(server.into_future(), worker) } => served?,
        // Open connections and running jobs are cut off. The jobs run again after the next start.
        () = shutdown.deadline(Duration::from_secs(5)) => {}
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

async fn on_event(State(database): State<Database>, event: BondifyEvent) -> StatusCode {
    match database.push(&event).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(error) => {
            eprintln!("error: cannot store {event}: {error}");
            StatusCode::INTERNAL_SERVER_ERROR // Bondify will deliver it again
        }
    }
}
