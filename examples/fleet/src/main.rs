//! The axum example with its dedupe store chosen by the environment variable
//! `BONDIFY_STORE`: `memory` (unless set), `sqlite:PATH`, `redis://…`, `rediss://…` (with TLS), `postgres://…` or
//! `mysql://…`. Several instances behind one store handle each event once. TLS trusts the authorities that the
//! machine trusts, or those in the file that `SSL_CERT_FILE` names. Served by `axum-server`, which has
//! a time-out for the head of a request.
//!
//! It announces its end to a proxy: with `ANNOUNCE_SECONDS`, SIGTERM makes `/ready` answer 503 for that
//! time before the server accepts no more connections.
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… BONDIFY_STORE=sqlite:events.db cargo run -p
//! example-fleet`; `PORT` is 3000 and `HOST` 127.0.0.1 unless set. Ctrl-C and SIGTERM end it once
//! the running handlers are done.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{Router, http::StatusCode, routing::get};
use axum_server::{Handle, Server};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, DedupeStore, MemoryStore, Secret, Shutdown};
use bondify_redis::{RedisStore, redis};
use bondify_sqlx::{
    MySqlStore, PostgresStore, SqliteStore,
    sqlx::{MySqlPool, PgPool, SqlitePool},
};
use example_support::{port, usage};
use tokio::{net::TcpListener, time::sleep};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    let choice = env::var("BONDIFY_STORE").unwrap_or_else(|_| "memory".to_owned());
    let bondify = Bondify::builder(secret).store(store(&choice).await?).build()?;
    let (stopping, announcement) = (Arc::new(AtomicBool::new(false)), announcement());
    let stops = stopping.clone();
    let app = Router::new()
        .route("/webhooks/bondify", bondify.post(on_event))
        .route("/ready", get(async move || ready(&stops)));

    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from((host(), port()));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/webhooks/bondify", listener.local_addr()?);
    let handle = Handle::new();
    let mut server = Server::<SocketAddr>::from_listener(listener).handle(handle.clone());
    server.http_builder().http1().header_read_timeout(HEAD_TIMEOUT);
    let server = server.first_request_timeout(HEAD_TIMEOUT);
    tokio::spawn(async move {
        shutdown.requested().await;
        stopping.store(true, Relaxed);
        sleep(announcement).await;
        handle.graceful_shutdown(Some(Duration::from_secs(5))); // then open connections are cut off
    });
    server.serve(app.into_make_service()).await?;
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

/// The address to listen on, from the environment variable `HOST`: `0.0.0.0` in a container.
fn host() -> IpAddr {
    match env::var("HOST") {
        Ok(host) => host.parse().unwrap_or_else(|_| usage(format!("HOST is no address: {host}"))),
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// The time for a proxy to notice that this instance will stop, from the environment variable
/// `ANNOUNCE_SECONDS`: several times the interval of its checks.
fn announcement() -> Duration {
    let seconds = env::var("ANNOUNCE_SECONDS").unwrap_or_else(|_| "0".to_owned());
    let number = seconds.parse().map(Duration::from_secs);
    number.unwrap_or_else(|_| usage(format!("ANNOUNCE_SECONDS is no number: {seconds}")))
}

/// Whether a proxy should send requests to this instance.
fn ready(stopping: &AtomicBool) -> StatusCode {
    if stopping.load(Relaxed) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}

/// The time that a client has to send the head of a request. `axum::serve` has none.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);

async fn store(choice: &str) -> anyhow::Result<Arc<dyn DedupeStore>> {
    Ok(match choice.split_once(':') {
        None if choice == "memory" => Arc::new(MemoryStore::new()),
        Some(("sqlite", path)) => {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await;
            let pool = pool.with_context(|| format!("cannot open {path}"))?;
            let store = SqliteStore::new(pool);
            store.migrate().await?;
            Arc::new(store.purge_every(PURGE_INTERVAL))
        }
        Some(("postgres" | "postgresql", _)) => {
            let pool = PgPool::connect(choice).await.context("cannot connect to BONDIFY_STORE")?;
            let store = PostgresStore::new(pool);
            store.migrate().await?;
            Arc::new(store.purge_every(PURGE_INTERVAL))
        }
        Some(("mysql", _)) => {
            let pool =
                MySqlPool::connect(choice).await.context("cannot connect to BONDIFY_STORE")?;
            let store = MySqlStore::new(pool);
            store.migrate().await?;
            Arc::new(store.purge_every(PURGE_INTERVAL))
        }
        Some(("redis" | "rediss", _)) => {
            // The client encrypts by the provider that the process has installed.
            let _installed_before = rustls::crypto::ring::default_provider().install_default();
            let client = redis::Client::open(choice).context("BONDIFY_STORE is no Redis URL")?;
            Arc::new(RedisStore::open(client))
        }
        _ => usage(
            "BONDIFY_STORE must be memory, sqlite:PATH, redis://…, rediss://…, postgres://… or \
             mysql://…",
        ),
    })
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here. A 2xx is the acknowledgement: answer it when that is done.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
