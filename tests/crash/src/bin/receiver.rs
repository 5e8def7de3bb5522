//! A receiver, as the tests start several: `receiver NUMBER MODE STORE LEDGER LEASE`, the lease in
//! milliseconds. It prints
//! where it listens, and ends with its standard input.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{
    env,
    error::Error,
    io::{self, Read},
    process::exit,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, DedupeStore, Event, Secret};
use bondify_redis::{RedisStore, redis::Client};
use bondify_sqlx::{
    MySqlInbox, MySqlStore, PostgresInbox, PostgresStore, Recorded, SqliteInbox, SqliteStore,
    sqlx::{self, MySqlPool, PgPool, SqlitePool, pool::PoolOptions},
};
use crash_tests::{Entry, Ledger, Mode, SECRET, Ticket};
use tokio::{net::TcpListener, time::sleep};

/// How long a receiver waits for a server that is restarted.
const PATIENCE: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    thread::spawn(|| {
        let _parent_is_gone = io::stdin().read(&mut [0]);
        exit(0)
    });
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [number, mode, store, ledger, lease] = &arguments[..] else {
        return Err("see above".into());
    };
    let process = number.parse()?;
    let lease = Duration::from_millis(lease.parse()?);
    let bondify = Bondify::builder(Secret::new(SECRET)?).lease(lease);
    let app = match mode.parse()? {
        Mode::Claims => {
            let bondify = bondify.store(dedupe_store(store).await?).build()?;
            let shop = Claims { process, ledger: Ledger::open(ledger)? };
            Router::new().route("/", bondify.post(Claims::on_event)).with_state(shop)
        }
        Mode::Inbox => {
            let bondify = bondify.verify_only().build()?;
            let shop = Inbox { process, database: Database::connect(store).await? };
            Router::new().route("/", bondify.post(Inbox::on_event)).with_state(shop)
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn dedupe_store(url: &str) -> Result<Arc<dyn DedupeStore>, Box<dyn Error>> {
    if url.starts_with("redis") {
        return Ok(Arc::new(RedisStore::open(Client::open(url)?)));
    }
    Ok(match Database::connect(url).await? {
        Database::Sqlite(pool, _) => Arc::new(SqliteStore::new(pool)),
        Database::Postgres(pool, _) => Arc::new(PostgresStore::new(pool).timeout(PATIENCE)),
        Database::MySql(pool, _) => Arc::new(MySqlStore::new(pool).timeout(PATIENCE)),
    })
}

/// Takes effect in the ledger.
#[derive(Clone)]
struct Claims {
    process: usize,
    ledger: Ledger,
}

impl Claims {
    async fn on_event(State(this): State<Self>, event: BondifyEvent) -> StatusCode {
        let Some(Ticket { event, pause }) = ticket(&event) else { return StatusCode::BAD_REQUEST };
        sleep(pause).await;
        this.ledger.note(Entry::Effect { event, process: this.process });
        sleep(pause).await;
        StatusCode::NO_CONTENT
    }
}

/// Takes effect in the database that has the inbox.
#[derive(Clone)]
struct Inbox {
    process: usize,
    database: Database,
}

impl Inbox {
    async fn on_event(State(this): State<Self>, event: BondifyEvent) -> StatusCode {
        let Some(Ticket { pause, .. }) = ticket(&event) else { return StatusCode::BAD_REQUEST };
        if this.database.handle(&event, this.process).await.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        sleep(pause).await;
        StatusCode::NO_CONTENT
    }
}

fn ticket(event: &Event) -> Option<Ticket> {
    event.session_token()?.parse().ok()
}

/// One of the engines, and the table of its stores and inboxes.
#[derive(Clone)]
enum Database {
    Sqlite(SqlitePool, SqliteInbox),
    Postgres(PgPool, PostgresInbox),
    MySql(MySqlPool, MySqlInbox),
}

/// The same on all engines, whose pools and transactions are types of their own.
macro_rules! handle {
    ($pool:ident, $inbox:ident, $event:ident, $process:ident, $insert:literal) => {{
        let Some(ticket) = ticket($event) else { return Ok(()) };
        let mut transaction = $pool.begin().await?;
        if $inbox.record(&mut transaction, $event).await? == Recorded::Duplicate {
            return Ok(());
        }
        // Short, as SQLite's other writers wait.
        sleep(ticket.pause / 10).await;
        sqlx::query($insert)
            .bind(ticket.event as i64)
            .bind($process as i64)
            .persistent(false) // for a pooler
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }};
}

impl Database {
    async fn connect(url: &str) -> sqlx::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await?;
            let inbox = SqliteInbox::new(pool.clone());
            inbox.migrate().await?;
            return Ok(Self::Sqlite(pool, inbox));
        }
        // Connections are tested, as is the default: one that a restart broke could cost a
        // delivery its last attempt.
        if url.starts_with("mysql") {
            let pool = PoolOptions::new().acquire_timeout(PATIENCE).connect(url).await?;
            let inbox = MySqlInbox::new(pool.clone());
            inbox.migrate().await?;
            return Ok(Self::MySql(pool, inbox));
        }
        let pool = PoolOptions::new().acquire_timeout(PATIENCE).connect(url).await?;
        let inbox = PostgresInbox::new(pool.clone());
        inbox.migrate().await?;
        Ok(Self::Postgres(pool, inbox))
    }

    async fn handle(&self, event: &Event, process: usize) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES ($1, $2)")
            }
            Self::Postgres(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES ($1, $2)")
            }
            Self::MySql(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES (?, ?)")
            }
        }
    }
}
