use std::{path::Path, sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Error, Pool, Sqlite, SqliteConnection, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, Remedy, Statements, bound},
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
    ///
    /// ```no_run
    /// use bondify_sqlx::{SqliteStore, sqlx::SqlitePool};
    ///
    /// # async fn open() -> bondify_sqlx::sqlx::Result<SqliteStore> {
    /// let pool = SqlitePool::connect_with(SqliteStore::options("events.db")).await?;
    /// let store = SqliteStore::new(pool);
    /// # Ok(store)
    /// # }
    /// ```
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

    // Claims wait for each batch.
    const PURGE_BATCH: usize = 50;

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
            "INSERT INTO {table} AS known (key, token, expires)
            VALUES (?1, ?2, {NOW} + ?3)
            ON CONFLICT (key) DO UPDATE SET
                token = iif(known.token > 0, excluded.token, known.token),
                expires = iif(known.token > 0, excluded.expires, known.expires)
            RETURNING token"
        );

        let purge = format!(
            "DELETE FROM {table} WHERE key IN (
                SELECT key FROM {table} WHERE expires < {NOW}
                ORDER BY expires LIMIT {}
            )
            RETURNING token",
            Self::PURGE_BATCH
        );

        Statements {
            migrate: migrate.into(),
            claim: claim.into(),
            held: format!("SELECT count(*) FROM {table} WHERE {held}").into(),
            renew: renew.into(),
            complete: complete.into(),
            release: release.into(),
            record: record.into(),
            purge: purge.into(),
            clock: format!("SELECT {NOW}").into(),
            settings: vec![
                (
                    "SELECT synchronous < 2 FROM pragma_synchronous".into(),
                    "a power cut can undo commits, so that events take effect twice: open the file with \
                     SqliteStore::options, or set synchronous = FULL",
                ),
                (
                    "SELECT journal_mode IN ('off', 'memory') FROM pragma_journal_mode".into(),
                    "a crash loses or destroys the database: open a file with SqliteStore::options, or set \
                     journal_mode = WAL",
                ),
            ],
        }
    }

    fn remedy(error: &Error) -> Remedy {
        match error {
            Error::Database(error) => remedy_of(error.code().as_deref().unwrap_or_default()),
            _ => Remedy::GiveUp,
        }
    }

    fn is_denied(_error: &Error) -> bool {
        false
    }
}

/// Returns the remedy for an extended result code. See SQLite's page "Result and Error Codes".
fn remedy_of(code: &str) -> Remedy {
    match code.parse::<u32>().map(|code| code & 0xff) {
        // Busy or locked: another connection writes, and the busy time-out is shorter than ours.
        Ok(5 | 6) => Remedy::Wait,
        _ => Remedy::GiveUp,
    }
}

impl Engine for Sqlite {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        raw_sql(AssertSqlSafe(script)).execute(pool).await?;
        Ok(())
    }

    /// A connection whose commits do not wait for the disk: a power cut that undoes a purge does no harm.
    /// It also moves the write-ahead log into the database file, so that no claim has to. A database in
    /// memory is known to the pool only.
    async fn purging(pool: &Pool<Self>) -> Result<Option<SqliteConnection>, Error> {
        let options = pool.connect_options();
        if !options.get_filename().is_file() {
            return Ok(None);
        }
        let options = SqliteConnectOptions::clone(&options);
        options.synchronous(SqliteSynchronous::Normal).connect().await.map(Some)
    }

    async fn after_batch(connection: &mut SqliteConnection) -> Result<(), Error> {
        raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(connection).await?;
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
