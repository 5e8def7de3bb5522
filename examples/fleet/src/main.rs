//! The axum example with its dedupe store chosen by the environment variable
//! `BONDIFY_STORE`: `memory` (unless set), `sqlite:PATH`, `redis://…` or `postgres://…`.
//! Several instances behind one store handle each event once.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… BONDIFY_STORE=sqlite:events.db cargo run -p
//! example-fleet`; `PORT` is 3000 unless set. Ctrl-C ends it once the running handlers are
//! done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{env, error::Error, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, DedupeStore, MemoryStore, Secret};
use bondify_redis::{RedisStore, redis};
use bondify_sqlx::{
    PostgresStore, SqliteStore,
    sqlx::{PgPool, SqlitePool},
};
use example_support::{port, usage};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let choice = env::var("BONDIFY_STORE").unwrap_or_else(|_| "memory".to_owned());
    let bondify = Bondify::builder(secret).store(store(&choice).await?).build()?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let listener = TcpListener::bind(("127.0.0.1", port())).await?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let interrupted = async { ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await?;
    Ok(bondify.drain(Duration::from_secs(10)).await?)
}

const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);

async fn store(choice: &str) -> Result<Arc<dyn DedupeStore>, Box<dyn Error>> {
    Ok(match choice.split_once(':') {
        None if choice == "memory" => Arc::new(MemoryStore::new()),
        Some(("sqlite", path)) => {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await?;
            let store = SqliteStore::new(pool);
            store.migrate().await?;
            Arc::new(store.purge_every(PURGE_INTERVAL))
        }
        Some(("postgres" | "postgresql", _)) => {
            let store = PostgresStore::new(PgPool::connect(choice).await?);
            store.migrate().await?;
            Arc::new(store.purge_every(PURGE_INTERVAL))
        }
        Some(("redis", _)) => Arc::new(RedisStore::open(redis::Client::open(choice)?)),
        _ => usage("BONDIFY_STORE must be memory, sqlite:PATH, redis://… or postgres://…"),
    })
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
