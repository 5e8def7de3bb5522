use std::time::Duration;

use anyhow::Context;
use apalis::prelude::{
    Filter, ListTasks, Status, TaskBuilder, TaskSink, TaskSinkError, WaitForCompletion,
};
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
pub(crate) type Job = String;

/// The maximum number of attempts of a job.
pub(crate) const ATTEMPTS: usize = 5;

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
            && let Event::Confirmed(login) = $event
        {
            sqlx::query(INSERT)
                .bind(login.user().id().as_str())
                .bind(login.user().name().replace('\0', "")) // PostgreSQL refuses it
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(recorded)
    }};
}

macro_rules! dead {
    ($queue:expr) => {{
        let mut queue = $queue;
        let mut ids = Vec::new();
        for status in [Status::Failed, Status::Killed] {
            let filter = Filter { status: Some(status), page: 1, page_size: Some(1000) };
            let jobs = queue.list_tasks(&filter).await?;
            ids.extend(jobs.iter().filter_map(|job| job.task_id().cloned()));
        }
        // Leaves out the jobs that will be retried.
        let dead = WaitForCompletion::<()>::check_status(&mut queue, ids).await?;
        let lines = dead.iter().map(|job| {
            let error = job.result.as_ref().err().map_or("", |error| error);
            format!("{}: {error}", job.task_id)
        });
        Ok(lines.collect())
    }};
}

macro_rules! retry {
    ($pool:ident, $table:literal) => {
        sqlx::query(concat!(
            "UPDATE ",
            $table,
            " SET status = 'Pending', attempts = 0, lock_by = NULL, lock_at = NULL, done_at = NULL
            WHERE job_type = $1
                AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))"
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
        let job = String::from_utf8(event.raw().to_vec())?;
        let key = event.key().to_string();
        let task = TaskBuilder::new(job).idempotency_key(key).max_attempts(ATTEMPTS).build();
        match self {
            Self::Sqlite(pool, _) => Ok(sqlite(pool).push_task(task).await?),
            Self::Postgres(pool, _) => match postgres(pool).push_task(task).await {
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

    /// Lists the dead jobs, without their data.
    pub(crate) async fn dead(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Sqlite(pool, _) => dead!(sqlite(pool)),
            Self::Postgres(pool, _) => dead!(postgres(pool)),
        }
    }

    /// Puts the dead jobs back into the queue, and returns their number.
    pub(crate) async fn retry(&self) -> sqlx::Result<u64> {
        match self {
            Self::Sqlite(pool, _) => retry!(pool, "Jobs"),
            Self::Postgres(pool, _) => retry!(pool, "apalis.jobs"),
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
