//! Stores each event in a job queue and answers at once. Workers handle it, with retries of
//! their own, and a list of the jobs that they gave up. The queue is [apalis] on SQLite, in
//! the file `queue.db` without any set-up; on PostgreSQL when `DATABASE_URL` says so
//! (`postgres://…`, or `sqlite:PATH`).
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-queue`; `PORT` is 3000
//! unless set. With the argument `dead` it lists the jobs that were given up, with `retry` it
//! puts them back into the queue. Ctrl-C ends it once the running jobs are done.
//!
//! [apalis]: https://docs.rs/apalis

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]

mod database;
mod worker;

use std::{env, error::Error, time::Duration};

use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_support::{port, usage};
use tokio::{net::TcpListener, signal::ctrl_c, sync::watch, time::timeout};

use crate::database::Database;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:queue.db".to_owned());
    match env::args().nth(1).as_deref() {
        None => {
            let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
            serve(secret, port(), Database::connect(&url).await?).await
        }
        Some("dead") => {
            for job in Database::connect(&url).await?.dead().await? {
                println!("{job}");
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

/// The longest wait for running handlers, and then for running jobs.
const SHUTDOWN: Duration = Duration::from_secs(10);

async fn serve(
    secret: Secret,
    port: u16,
    database: Database,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Each delivery reaches the handler: the queue refuses a second job for one event.
    let bondify = Bondify::builder(secret).verify_only().build()?;
    let app = Router::new()
        .route("/webhooks/bondify", bondify.post(on_event))
        .with_state(database.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let (stop, stopped) = watch::channel(());
    let worker = tokio::spawn(worker::run(database, stopped));
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await?;
    bondify.drain(SHUTDOWN).await?;

    // A job that is cut off here is handled after the next start.
    drop(stop);
    if timeout(SHUTDOWN, worker).await.is_err() {
        eprintln!("error: a job still runs after {SHUTDOWN:?}");
    }
    Ok(())
}

async fn on_event(State(database): State<Database>, event: BondifyEvent) -> StatusCode {
    match database.push(&event).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(error) => {
            eprintln!("error: {event} is not stored: {error}");
            StatusCode::INTERNAL_SERVER_ERROR // Bondify will deliver it again
        }
    }
}
