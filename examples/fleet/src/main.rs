//! The axum example with its dedupe store chosen by the environment variable
//! `BONDIFY_STORE`: `memory` (unless set), `sqlite:PATH`, `redis://…` or `postgres://…`.
//! Several instances behind one store handle each event once.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… BONDIFY_STORE=sqlite:events.db cargo run -p
//! example-fleet`; `PORT` is 3000 unless set. Ctrl-C and SIGTERM end it once the running
//! handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, DedupeStore, MemoryStore, Secret, Shutdown};
use bondify_redis::{RedisStore, redis};
use bondify_sqlx::{
    PostgresStore, SqliteStore,
    sqlx::{PgPool, SqlitePool},
};
use example_support::{port, usage};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let choice = env::var("BONDIFY_STORE").unwrap_or_else(|_| "memory".to_owned());
    let store = store(&choice).await.context("cannot open the store of BONDIFY_STORE")?;
    let bondify = Bondify::builder(secret).store(store).build()?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.requested());
    tokio::select! {
        served = server => served?,
        () = shutdown.deadline(Duration::from_secs(5)) => {} // open connections are cut off
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);

async fn store(choice: &str) -> anyhow::Result<Arc<dyn DedupeStore>> {
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
