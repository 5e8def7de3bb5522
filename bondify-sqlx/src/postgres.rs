use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{AssertSqlSafe, Error, PgConnection, Pool, Postgres, Row, raw_sql};
use tokio::sync::Semaphore;

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, PURGE_BATCH, Remedy, Statements, bound, inline},
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
    /// Prepares each statement once per connection, which makes a claim and a completion a
    /// third cheaper for the server.
    ///
    /// **Only for connections that lead directly to PostgreSQL.** A pooler in transaction or
    /// statement mode (PgBouncer, Supabase, Neon, RDS Proxy) mixes up the statements of its
    /// clients: one event's completion is then run for another.
    ///
    /// Without them, PostgreSQL itself gives up a call that waits for a lock for longer than the
    /// [time-out](Self::timeout). With them, set its `statement_timeout`.
    #[must_use]
    pub fn prepared_statements(mut self) -> Self {
        self.table.prepared = true;
        self
    }
}

/// Held while a table is created, since `IF NOT EXISTS` does not prevent two sessions from
/// creating it at once. The number is "bondify" in ASCII.
const MIGRATION_LOCK: i64 = 0x62_6f_6e_64_69_66_79;

/// The time is `clock_timestamp()`, as it is when a row that had to be waited for is looked
/// at. `now()` is when the transaction began: before that wait, which would cut leases
/// short.
impl Dialect for Postgres {
    const HAS_SCHEMAS: bool = true;
    const WRITERS: usize = Semaphore::MAX_PERMITS;
    const IS_REMOTE: bool = true;
    const TIMEOUT: Duration = Duration::from_secs(2);

    fn statements(table: &TableName) -> Statements {
        let (table, index) = (table.quoted(Self::QUOTE), table.quoted_index(Self::QUOTE));

        // Statements sent together are one transaction, which the lock and the setting end
        // with. The setting hides notices that the table is there.
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

        // A row in the way is always updated, if only to what it is. Were it not, it could
        // not be returned: when another session has just committed it, it is in the way
        // and yet not in the snapshot that a `SELECT` in this statement would see.
        //
        // The clock is read once, with the row locked, for both columns to agree.
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
            "INSERT INTO {table} AS known (key, expires)
            VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond')
            ON CONFLICT (key) DO UPDATE SET token = NULL, expires = excluded.expires
            WHERE known.token IS NOT NULL
            RETURNING token"
        );

        // Here it is `now()`, which an index can be searched for, unlike a time that goes
        // on meanwhile. A row locked by a claim is about to be needed.
        let purge = format!(
            "DELETE FROM {table} WHERE key = ANY (ARRAY(
                SELECT key FROM {table} WHERE expires < now()
                ORDER BY expires LIMIT {PURGE_BATCH} FOR UPDATE SKIP LOCKED
            ))
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
    fn remedy(error: &Error) -> Remedy {
        match error {
            // The connection broke, was answered with something else, or is silent.
            Error::Io(_) | Error::Protocol(_) => Remedy::Reconnect,
            Error::Database(error) => remedy_of(error.code().as_deref().unwrap_or_default()),
            _ => Remedy::None,
        }
    }
}

/// See PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
fn remedy_of(code: &str) -> Remedy {
    match code {
        // A deadlock, a serialization failure, a statement cancelled as another held a lock.
        "40001" | "40P01" | "57014" => Remedy::Repeat,
        // A server that only reads, that shuts down, crashed, starts, or closed an idle session.
        "25006" | "57P01" | "57P02" | "57P03" | "57P05" => Remedy::Reconnect,
        // A connection that broke somewhere between a pooler and the server.
        code if code.starts_with("08") => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

impl Engine for Postgres {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        raw_sql(AssertSqlSafe(script)).execute(pool).await?;
        Ok(())
    }

    /// Sends one message, unless statements are prepared. sqlx prepares a statement, named or
    /// not, in one round trip and runs it in another, and between them a pooler may give the
    /// server connection to another client.
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
        // The server would go on waiting for a lock when we have gone, and each retry would
        // leave it another such session. The setting ends with this message's transaction.
        if let Some(limit) = manner.limit {
            let millis = limit.as_millis().clamp(1, i32::MAX as u128);
            script = format!("SET LOCAL statement_timeout = {millis}; {script}");
        }
        let rows = raw_sql(AssertSqlSafe(script)).fetch_all(connection).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// The statement with its parameters written into it: digits only, in quotes.
fn with_parameters(statement: &str, key: Option<&EventKey>, numbers: &[i64]) -> String {
    let key = key.map(|key| format!(r"E'\\x{key}'::bytea"));
    let numbers = numbers.iter().map(|number| format!("'{number}'::bigint"));
    inline(statement, key.into_iter().chain(numbers))
}
