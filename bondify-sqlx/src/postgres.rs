use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{AssertSqlSafe, Error, PgConnection, Pool, Postgres, Row, raw_sql};
use tokio::sync::Semaphore;

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, Remedy, Statements, bound, inline},
    name::TableName,
};

/// A dedupe store on PostgreSQL, for any number of instances.
///
#[doc = include_str!("docs/postgres.md")]
pub type PostgresStore = Store<Postgres>;

/// An inbox on PostgreSQL. See [`Inbox`] for the rules of its transactions.
///
#[doc = include_str!("docs/postgres_inbox.md")]
pub type PostgresInbox = Inbox<Postgres>;

impl PostgresStore {
    /// Prepares each statement once per connection, which makes a claim and a completion a third
    /// cheaper for the server.
    ///
    /// **Only for connections that lead directly to PostgreSQL.** A pooler in transaction or
    /// statement mode (PgBouncer, Supabase, Neon, RDS Proxy) can run the prepared statement of
    /// another client, so that the wrong event is completed.
    ///
    /// Set PostgreSQL's `statement_timeout` as well. Only statements that are not prepared are
    /// cancelled by PostgreSQL when they wait for a lock for longer than the
    /// [time-out](Self::timeout).
    ///
    /// ```no_run
    /// use bondify_sqlx::{
    ///     PostgresStore,
    ///     sqlx::postgres::{PgConnectOptions, PgPoolOptions},
    /// };
    ///
    /// # async fn open() -> bondify_sqlx::sqlx::Result<PostgresStore> {
    /// let options: PgConnectOptions = "postgres://localhost/shop".parse()?;
    /// let options = options.options([("statement_timeout", "2s")]);
    /// let pool = PgPoolOptions::new().connect_with(options).await?;
    /// let store = PostgresStore::new(pool).prepared_statements();
    /// # Ok(store)
    /// # }
    /// ```
    #[must_use]
    pub fn prepared_statements(mut self) -> Self {
        self.table.prepared = true;
        self
    }
}

/// The advisory lock that is held while a table is created, because `IF NOT EXISTS` does not prevent
/// two sessions from creating it at the same time. The number is "bondify" in ASCII.
const MIGRATION_LOCK: i64 = 0x62_6f_6e_64_69_66_79;

/// The time is `clock_timestamp()`, which is evaluated after any wait for a locked row. `now()` is the
/// beginning of the transaction, before that wait: leases would be too short.
impl Dialect for Postgres {
    const HAS_SCHEMAS: bool = true;
    const WRITERS: usize = Semaphore::MAX_PERMITS;
    const IS_REMOTE: bool = true;
    const TIMEOUT: Duration = Duration::from_secs(2);

    fn statements(table: &TableName) -> Statements {
        let (table, index) = (table.quoted(Self::QUOTE), table.quoted_index(Self::QUOTE));

        // Statements that are sent together are one transaction, at whose end the lock and the
        // setting end. The setting hides the notice that the table exists.
        let migrate = format!(
            "SET LOCAL client_min_messages = warning;
            SELECT pg_advisory_xact_lock({MIGRATION_LOCK});
            CREATE TABLE IF NOT EXISTS {table} (
                key bytea PRIMARY KEY,
                token bigint,
                expires timestamptz NOT NULL
            );
            CREATE INDEX IF NOT EXISTS {index} ON {table} (expires);"
        );

        // An existing row is always updated, even if its values stay the same. Otherwise it would
        // not be returned: a row that another session has just committed causes the conflict, but is
        // not in the snapshot that a `SELECT` in this statement would read.
        //
        // The clock is read once, with the row locked, so that both columns get the same decision.
        let claim = format!(
            "INSERT INTO {table} AS held (key, token, expires)
            VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
            ON CONFLICT (key) DO UPDATE SET (token, expires) = (
                SELECT
                    CASE WHEN held.expires < now THEN excluded.token ELSE held.token END,
                    CASE WHEN held.expires < now
                        THEN now + $3 * interval '1 millisecond'
                        ELSE held.expires
                    END
                FROM clock_timestamp() AS now
            )
            RETURNING token"
        );

        let held = "key = $1 AND token = $2 AND expires >= clock_timestamp()";
        let renew = format!(
            "UPDATE {table} SET expires = clock_timestamp() + $3 * interval '1 millisecond'
            WHERE {held}
            RETURNING token"
        );
        let complete = format!(
            "UPDATE {table}
            SET token = NULL, expires = clock_timestamp() + $3 * interval '1 millisecond'
            WHERE {held}
            RETURNING token"
        );
        let release = format!("DELETE FROM {table} WHERE {held} RETURNING token");

        let record = format!(
            "INSERT INTO {table} AS known (key, token, expires)
            VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
            ON CONFLICT (key) DO UPDATE SET
                token = CASE WHEN known.token > 0 THEN excluded.token ELSE known.token END,
                expires = CASE WHEN known.token > 0 THEN excluded.expires ELSE known.expires END
            RETURNING token"
        );

        // With `now()`: the index can be searched only for a constant. A row that a claim has locked is
        // about to be used.
        let purge = format!(
            "DELETE FROM {table} WHERE key = ANY (ARRAY(
                SELECT key FROM {table} WHERE expires < now()
                ORDER BY expires LIMIT {} FOR UPDATE SKIP LOCKED
            ))
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
            clock: "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint".into(),
            settings: vec![
                (
                    "SELECT (current_setting('synchronous_commit') = 'off')::int::bigint".into(),
                    "a crash of the server can undo commits that it has acknowledged, so that events take \
                     effect twice: set synchronous_commit = on for this role",
                ),
                (
                    "SELECT (current_setting('fsync') = 'off')::int::bigint".into(),
                    "a crash of the server can destroy its data: set fsync = on",
                ),
                (
                    format!(
                        "SELECT count(*) FROM pg_class
                        WHERE oid = to_regclass('{table}') AND relpersistence <> 'p'"
                    )
                    .into(),
                    "a crash of the server empties the table: run ALTER TABLE … SET LOGGED",
                ),
            ],
        }
    }

    fn remedy(error: &Error) -> Remedy {
        match error {
            // The connection broke, is silent, or sent an unexpected message.
            Error::Io(_) | Error::Protocol(_) => Remedy::Reconnect,
            Error::Database(error) => remedy_of(error.code().as_deref().unwrap_or_default()),
            _ => Remedy::GiveUp,
        }
    }

    fn is_denied(error: &Error) -> bool {
        error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
    }
}

/// Returns the remedy for an error code. See PostgreSQL's documentation, appendix "PostgreSQL Error
/// Codes".
fn remedy_of(code: &str) -> Remedy {
    match code {
        // A statement that was cancelled while it waited for a lock, a snapshot that is too old.
        "57014" | "72000" => Remedy::Again,
        // A lock that was not available within `lock_timeout`, which may be short; too many connections;
        // no memory.
        "55P03" | "53300" | "53200" => Remedy::Wait,
        // A server that is read-only, shuts down, crashed, starts, or has closed an idle session or a
        // transaction that took too long.
        "25006" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => Remedy::Reconnect,
        // A serialization failure (40001), a deadlock (40P01), and their kind.
        code if code.starts_with("40") => Remedy::Again,
        // A connection that broke, maybe between a pooler and the server.
        code if code.starts_with("08") => Remedy::Reconnect,
        _ => Remedy::GiveUp,
    }
}

impl Engine for Postgres {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        raw_sql(AssertSqlSafe(script)).execute(pool).await?;
        Ok(())
    }

    /// Sends one message, unless statements are prepared. sqlx prepares a statement, named or not, in
    /// one round trip and runs it in another. In between, a pooler may give the server connection to
    /// another client.
    async fn run(
        connection: &mut PgConnection,
        statement: Arc<str>,
        key: Option<&EventKey>,
        numbers: &[i64],
        manner: Manner,
    ) -> Result<Vec<Option<i64>>, Error> {
        if manner.prepared {
            return bound!(statement, key, numbers).fetch_all(connection).await;
        }
        let mut script = with_parameters(&statement, key, numbers);
        // Without a limit, the server would continue to wait for a lock after our time-out, and each
        // retry would add such a session. The setting ends with the transaction of this message.
        if let Some(limit) = manner.limit {
            let millis = limit.as_millis().clamp(1, i32::MAX as u128);
            script = format!("SET LOCAL statement_timeout = {millis}; {script}");
        }
        let rows = raw_sql(AssertSqlSafe(script)).fetch_all(connection).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// Returns the statement with its parameters written into it, as quoted digits.
fn with_parameters(statement: &str, key: Option<&EventKey>, numbers: &[i64]) -> String {
    let key = key.map(|key| format!(r"E'\\x{key}'::bytea"));
    let numbers = numbers.iter().map(|number| format!("'{number}'::bigint"));
    inline(statement, key.into_iter().chain(numbers))
}
