//! Upserts users by their Telegram id, exactly once for each login: the event is recorded in
//! the transaction that the user is written in. The database is the SQLite file `users.db` without any
//! set-up; `DATABASE_URL` selects PostgreSQL (`postgres://…`) or another file (`sqlite:PATH`).
//!
//! Run it with `BONDIFY_WEBHOOK_SECRET=whsec_… cargo run -p example-inbox`; `PORT` is 3000
//! unless set. It prints how often a user has logged in, also for a repeated delivery. Ctrl-C and SIGTERM end it once the running handlers are done.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]

use std::{env, net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Event, Secret, Shutdown};
use bondify_sqlx::{
    PostgresInbox, Recorded, SqliteInbox, SqliteStore,
    sqlx::{self, PgPool, SqlitePool},
};
use example_support::{port, usage};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
    // Every delivery reaches the handler; the inbox detects repeated deliveries.
    let bondify = Bondify::builder(secret).verify_only().build()?;
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:users.db".to_owned());
    let users = Users::connect(&url).await?;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event)).with_state(users);

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

async fn on_event(event: BondifyEvent, State(users): State<Users>) -> StatusCode {
    match users.handle(&event).await {
        Ok(logins) => {
            println!("handled {event}: {logins} logins");
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            eprintln!("error: {error}");
            StatusCode::INTERNAL_SERVER_ERROR // Bondify will deliver it again
        }
    }
}

/// The table of users and the inbox beside it, on either engine.
#[derive(Clone)]
enum Users {
    Sqlite(SqlitePool, SqliteInbox),
    Postgres(PgPool, PostgresInbox),
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS users (
    telegram_id TEXT PRIMARY KEY, name TEXT NOT NULL, logins BIGINT NOT NULL
)";
const UPSERT: &str = "INSERT INTO users VALUES ($1, $2, 1) ON CONFLICT (telegram_id)
    DO UPDATE SET name = excluded.name, logins = users.logins + 1";
const LOGINS: &str = "SELECT logins FROM users WHERE telegram_id = $1";

/// Runs the same code on both engines, whose pools and transactions have different types.
macro_rules! handle {
    ($pool:ident, $inbox:ident, $event:ident) => {{
        let Event::Confirmed(confirmed) = $event else { return Ok(0) };
        let mut transaction = $pool.begin().await?;
        if $inbox.record(&mut transaction, $event).await? == Recorded::New {
            sqlx::query(UPSERT)
                .bind(confirmed.user().id().as_str())
                .bind(confirmed.user().name())
                .execute(&mut *transaction)
                .await?;
        }
        let logins = sqlx::query_scalar(LOGINS).bind(confirmed.user().id().as_str());
        let logins = logins.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(logins)
    }};
}

impl Users {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await;
            let pool = pool.with_context(|| format!("cannot open {path}"))?;
            let inbox = SqliteInbox::new(pool.clone());
            inbox.migrate().await?;
            sqlx::query(TABLE).execute(&pool).await?;
            Ok(Self::Sqlite(pool, inbox.purge_every(PURGE_INTERVAL)))
        } else {
            let pool = PgPool::connect(url).await.context("cannot connect to DATABASE_URL")?;
            let inbox = PostgresInbox::new(pool.clone());
            inbox.migrate().await?;
            sqlx::query(TABLE).execute(&pool).await?;
            Ok(Self::Postgres(pool, inbox.purge_every(PURGE_INTERVAL)))
        }
    }

    /// Counts a login once, and returns the number of logins of the user. The record of the event and the
    /// user are committed in one transaction.
    async fn handle(&self, event: &Event) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(pool, inbox) => handle!(pool, inbox, event),
            Self::Postgres(pool, inbox) => handle!(pool, inbox, event),
        }
    }
}

const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);
