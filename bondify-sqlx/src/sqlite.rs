use std::{path::Path, sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{
    AssertSqlSafe, Error, Pool, Sqlite, SqliteConnection, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, PURGE_BATCH, Remedy, Statements, bound},
    name::TableName,
};

/// A dedupe store in an SQLite file, for the processes of one machine.
///
#[doc = include_str!("docs/sqlite.md")]
pub type SqliteStore = Store<Sqlite>;

/// An inbox in an SQLite file. See [`Inbox`] for the rules of its transactions, and
/// [`record`](Inbox::record) for an example.
///
/// Begin the transaction with [`begin_with("BEGIN IMMEDIATE")`], or make [`record`](Inbox::record)
/// its first statement. A transaction that reads first and writes later fails with `SQLITE_BUSY` if
/// another transaction has written in between, regardless of the busy time-out. The busy time-out
/// limits the time that a duplicate waits for the first transaction.
///
/// [`begin_with("BEGIN IMMEDIATE")`]: sqlx::Pool::begin_with
pub type SqliteInbox = Inbox<Sqlite>;

impl SqliteStore {
    /// Returns the options to open the file at `path`, which is created if it does not exist.
    ///
    /// They set a write-ahead log and a busy time-out: a writer waits for up to 5 s for another writer
    /// instead of failing with `SQLITE_BUSY`. Every commit is on the disk before it is acknowledged, so
    /// that a power cut loses none.
    #[must_use]
    pub fn options(path: impl AsRef<Path>) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
    }
}

/// Milliseconds since 1970. SQLite reads the clock once per statement, after any wait for another
/// writer.
const NOW: &str = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)";

impl Dialect for Sqlite {
    const HAS_SCHEMAS: bool = false;

    // SQLite lets one writer write at a time. The others sleep and retry, and may not succeed before
    // the busy time-out. A queue in this process prevents that.
    const WRITERS: usize = 1;

    const IS_REMOTE: bool = false;

    // Other writers may take long, and `Bondify` waits 5 s for a claim.
    const TIMEOUT: Duration = Duration::from_secs(4);

    fn statements(table: &TableName) -> Statements {
        let (table, index) = (table.quoted(Self::QUOTE), table.quoted_index(Self::QUOTE));

        let migrate = format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                key BLOB PRIMARY KEY,
                token INTEGER,
                expires INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS {index} ON {table} (expires);"
        );

        // An existing row is always updated, even if its values stay the same: otherwise it would not
        // be returned.
        let claim = format!(
            "INSERT INTO {table} AS held (key, token, expires)
            VALUES (?1, ?2, {NOW} + ?3)
            ON CONFLICT (key) DO UPDATE SET
                token = iif(held.expires < {NOW}, excluded.token, held.token),
                expires = iif(held.expires < {NOW}, excluded.expires, held.expires)
            RETURNING token"
        );

        let held = format!("key = ?1 AND token = ?2 AND expires >= {NOW}");
        let renew = format!("UPDATE {table} SET expires = {NOW} + ?3 WHERE {held} RETURNING token");
        let complete = format!(
            "UPDATE {table} SET token = NULL, expires = {NOW} + ?3
            WHERE {held}
            RETURNING token"
        );
        let release = format!("DELETE FROM {table} WHERE {held} RETURNING token");

        let record = format!(
            "INSERT INTO {table} AS known (key, expires)
            VALUES (?1, {NOW} + ?2)
            ON CONFLICT (key) DO UPDATE SET token = NULL, expires = excluded.expires
            WHERE known.token IS NOT NULL
            RETURNING token"
        );

        let purge = format!(
            "DELETE FROM {table} WHERE key IN (
                SELECT key FROM {table} WHERE expires < {NOW}
                ORDER BY expires LIMIT {PURGE_BATCH}
            )
            RETURNING token"
        );

        Statements {
            migrate: migrate.into(),
            claim: claim.into(),
            renew: renew.into(),
            complete: complete.into(),
            release: release.into(),
            record: record.into(),
            purge: purge.into(),
        }
    }
    fn remedy(_error: &Error) -> Remedy {
        Remedy::None
    }
}

impl Engine for Sqlite {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        raw_sql(AssertSqlSafe(script)).execute(pool).await?;
        Ok(())
    }

    async fn run(
        connection: &mut SqliteConnection,
        statement: Arc<str>,
        key: Option<&EventKey>,
        numbers: &[i64],
        _manner: Manner,
    ) -> Result<Vec<Option<i64>>, Error> {
        // All rows, not only the first, which arrives before the statement commits.
        bound!(statement, key, numbers).fetch_all(connection).await
    }
}
