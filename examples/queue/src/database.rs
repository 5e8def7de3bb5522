use std::{convert::Infallible, time::Duration};

use anyhow::Context;
use apalis::prelude::{BackendExt, Codec, TaskBuilder, TaskSink, TaskSinkError};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use bondify_axum::Event;
use bondify_sqlx::{
    PostgresInbox, Recorded, SqliteInbox, SqliteStore,
    sqlx::{self, PgPool, SqlitePool},
};

/// The database of the application: its table of logins, the inbox and the queue.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool, SqliteInbox),
    Postgres(PgPool, PostgresInbox),
}

/// The JSON object that Bondify signed.
pub(crate) type Job = Vec<u8>;

/// Leaves a job as it is. A job that a codec cannot decode would block the jobs that were fetched with it,
/// and would never be dead. So the worker decodes it.
#[derive(Clone, Debug)]
pub(crate) struct Raw;

impl Codec<Job> for Raw {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, job: &Job) -> Result<Vec<u8>, Infallible> {
        Ok(job.clone())
    }

    fn decode(&self, stored: &Vec<u8>) -> Result<Job, Infallible> {
        Ok(stored.clone())
    }
}

/// The maximum number of attempts of a job. With the pauses between them they take six hours.
pub(crate) const ATTEMPTS: usize = 46;

const QUEUE: &str = "bondify";

/// The time without a heartbeat after which a worker counts as dead and its jobs run again.
const HEARTBEAT: Duration = Duration::from_secs(1);
const MISSED_HEARTBEATS: usize = 5;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS logins (telegram_id TEXT NOT NULL, name TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO logins (telegram_id, name) VALUES ($1, $2)";

pub(crate) fn sqlite(pool: &SqlitePool) -> SqliteStorage<Job> {
    let config = apalis_sqlite::Config::default().queue(QUEUE);
    let config = config.heartbeat_interval(HEARTBEAT).missed_heartbeats(MISSED_HEARTBEATS);
    SqliteStorage::new(pool).with_config(config)
}

pub(crate) fn postgres(pool: &PgPool) -> PostgresStorage<Job> {
    let config = apalis_postgres::Config::default().queue(QUEUE);
    let config = config.heartbeat_interval(HEARTBEAT).missed_heartbeats(MISSED_HEARTBEATS);
    PostgresStorage::new(pool).with_config(config)
}

/// Runs the same code on both engines, whose pools and transactions have different types.
macro_rules! handle {
    ($pool:ident, $inbox:ident, $event:ident) => {{
        let mut transaction = $pool.begin().await?;
        let recorded = $inbox.record(&mut transaction, $event).await?;
        if recorded == Recorded::New
            && let Event::Confirmed(confirmed) = $event
        {
            sqlx::query(INSERT)
                .bind(confirmed.user().id().as_str())
                .bind(confirmed.user().name().replace('\0', "")) // PostgreSQL refuses it
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(recorded)
    }};
}

/// The condition of a dead job, which the queue no longer fetches.
macro_rules! dead {
    () => {
        " WHERE job_type = $1
            AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))"
    };
}

macro_rules! list_dead {
    ($pool:ident, $table:literal) => {
        sqlx::query_as(concat!("SELECT id, last_result ->> 'Err' FROM ", $table, dead!()))
            .bind(QUEUE)
            .fetch_all($pool)
            .await
    };
}

macro_rules! retry_dead {
    ($pool:ident, $table:literal, $now:literal) => {
        sqlx::query(concat!(
            "UPDATE ",
            $table,
            " SET status = 'Pending', attempts = 0, run_at = ",
            $now,
            ", lock_by = NULL, lock_at = NULL, done_at = NULL",
            dead!()
        ))
        .bind(QUEUE)
        .execute($pool)
        .await
        .map(|done| done.rows_affected())
    };
}

impl Database {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await;
            let pool = pool.with_context(|| format!("cannot open {path}"))?;
            // Not `setup`: it configures SQLite to answer a commit before the data is on the disk.
            SqliteStorage::migrations().run(&pool).await?;
            let inbox = SqliteInbox::new(pool.clone());
            inbox.migrate().await?;
            sqlx::query(TABLE).execute(&pool).await?;
            Ok(Self::Sqlite(pool, inbox.purge_every(PURGE_INTERVAL)))
        } else {
            let pool = PgPool::connect(url).await.context("cannot connect to DATABASE_URL")?;
            PostgresStorage::setup(&pool).await?;
            let inbox = PostgresInbox::new(pool.clone());
            inbox.migrate().await?;
            sqlx::query(TABLE).execute(&pool).await?;
            Ok(Self::Postgres(pool, inbox.purge_every(PURGE_INTERVAL)))
        }
    }

    /// Stores a job for the event unless there is one. It is committed when this returns.
    pub(crate) async fn push(&self, event: &Event) -> anyhow::Result<()> {
        let key = event.key().to_string();
        let task = TaskBuilder::new(event.raw().to_vec())
            .idempotency_key(key)
            .max_attempts(ATTEMPTS)
            .build();
        match self {
            Self::Sqlite(pool, _) => Ok(sqlite(pool).with_codec(Raw).push_task(task).await?),
            Self::Postgres(pool, _) => match postgres(pool).with_codec(Raw).push_task(task).await {
                Err(error) if is_known(&error) => Ok(()),
                result => Ok(result?),
            },
        }
    }

    /// Applies the effect of an event, unless it was applied before. The record of the event and its effect
    /// are committed in one transaction.
    pub(crate) async fn handle(&self, event: &Event) -> sqlx::Result<Recorded> {
        match self {
            Self::Sqlite(pool, inbox) => handle!(pool, inbox, event),
            Self::Postgres(pool, inbox) => handle!(pool, inbox, event),
        }
    }

    /// Lists the ids of the dead jobs and their last errors.
    pub(crate) async fn dead(&self) -> sqlx::Result<Vec<(String, Option<String>)>> {
        match self {
            Self::Sqlite(pool, _) => list_dead!(pool, "Jobs"),
            Self::Postgres(pool, _) => list_dead!(pool, "apalis.jobs"),
        }
    }

    /// Puts the dead jobs back into the queue, and returns their number.
    pub(crate) async fn retry(&self) -> sqlx::Result<u64> {
        match self {
            Self::Sqlite(pool, _) => retry_dead!(pool, "Jobs", "unixepoch()"),
            Self::Postgres(pool, _) => retry_dead!(pool, "apalis.jobs", "now()"),
        }
    }

    /// Sets the time of the next attempt of a job that runs. Until then it occupies no worker.
    pub(crate) async fn delay(&self, job: &str, pause: Duration) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(pool, _) => {
                let later = "UPDATE Jobs SET run_at = unixepoch() + $1 WHERE id = $2";
                let seconds = pause.as_secs() as i64;
                sqlx::query(later).bind(seconds).bind(job).execute(pool).await.map(drop)
            }
            Self::Postgres(pool, _) => {
                let later = "UPDATE apalis.jobs SET run_at = now() + make_interval(secs => $1)
                    WHERE id = $2";
                let seconds = pause.as_secs_f64();
                sqlx::query(later).bind(seconds).bind(job).execute(pool).await.map(drop)
            }
        }
    }

    /// Deletes the jobs that were done two days ago. Bondify no longer delivers their events.
    pub(crate) async fn purge(&self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(pool, _) => {
                let old =
                    "DELETE FROM Jobs WHERE status = 'Done' AND done_at < unixepoch() - 172800";
                sqlx::query(old).execute(pool).await.map(drop)
            }
            Self::Postgres(pool, _) => {
                let old = "DELETE FROM apalis.jobs
                    WHERE status = 'Done' AND done_at < now() - INTERVAL '2 days'";
                sqlx::query(old).execute(pool).await.map(drop)
            }
        }
    }
}

/// Whether the queue has a job for the event already.
fn is_known(error: &TaskSinkError<apalis_postgres::Error>) -> bool {
    let TaskSinkError::PushError(apalis_postgres::Error::Database(error)) = error else {
        return false;
    };
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

pub(crate) const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);
