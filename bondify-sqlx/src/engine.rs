use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{Database, Error, Pool};

use crate::name::TableName;

/// The SQL and the errors of an engine.
pub trait Dialect {
    /// Whether a table name may have a schema.
    const HAS_SCHEMAS: bool;

    /// The quotation mark around an identifier.
    const QUOTE: char = '"';

    /// The number of statements of one process that may write at the same time.
    const WRITERS: usize;

    /// Whether connections go over a network. They can then break, become silent, or lead to the
    /// wrong server.
    const IS_REMOTE: bool;

    /// Whether statements that write return no rows, so that further statements of the transaction read
    /// them.
    const READS_BACK: bool = false;

    /// The default time-out of a call.
    const TIMEOUT: Duration;

    /// The number of rows that one statement purges: few enough that no claim waits noticeably.
    const PURGE_BATCH: usize = 100;

    fn statements(table: &TableName) -> Statements;

    /// Returns the way in which a call that got this error can still succeed.
    fn remedy(error: &Error) -> Remedy;

    /// Whether a statement failed because the user lacks a right.
    fn is_denied(error: &Error) -> bool;
}

/// The way in which a failed call can still succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// None: the error is returned.
    GiveUp,
    /// A retry at once.
    Again,
    /// A retry after a pause, on any connection.
    Wait,
    /// A retry on a new connection. The idle ones are closed.
    Reconnect,
}

/// The statements on one table. Its columns are `key`, `token` and `expires`, the last moment at which the
/// row is valid. The token of a lease is positive. A completed row has none, and a record a negative one.
///
/// The parameters of each statement are listed here in their order. Durations are in milliseconds.
/// Each statement but `migrate` returns the tokens of the rows that it leaves or removes. They are read
/// from the table, because a trigger can change insert ids and counts of rows.
#[derive(Debug)]
pub struct Statements {
    /// Several statements, without parameters.
    pub(crate) migrate: Arc<str>,
    /// Key, a new token, lease. Always returns one row: the new token or the one that was there.
    pub(crate) claim: Arc<str>,
    /// Key, token. Returns 1 if the lease is held, otherwise 0.
    pub(crate) held: Arc<str>,
    /// Key, token, lease. Returns the token if its lease is held.
    pub(crate) renew: Arc<str>,
    /// Key, token, retention. Returns a row without a token if the lease was held, and on an engine that
    /// [reads back](Dialect::READS_BACK) the token before it.
    pub(crate) complete: Arc<str>,
    /// Key, token. Returns the token if its lease was held.
    pub(crate) release: Arc<str>,
    /// Key, a new negative token, retention. Always returns one row: the new token, or the one that was
    /// there if it is not a lease.
    pub(crate) record: Arc<str>,
    /// No parameters. Deletes up to [`PURGE_BATCH`](Dialect::PURGE_BATCH) expired rows.
    pub(crate) purge: Arc<str>,
    /// No parameters. Returns the engine's time, in milliseconds since 1970.
    pub(crate) clock: Arc<str>,
    /// No parameters. Each returns a number other than 0 if the advice beside it applies.
    pub(crate) settings: Vec<(Arc<str>, &'static str)>,
}

/// The way in which a statement is run, on engines that have several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether the connection leads directly to the engine, so that it can keep prepared statements.
    pub(crate) prepared: bool,
    /// The time after which the engine cancels the statement. The statement then has to be in its
    /// own transaction. A prepared statement has no such limit.
    pub(crate) limit: Option<Duration>,
}

/// A query with the parameters of a statement bound to it. It is a macro because a generic function
/// would have to list every trait of sqlx that it uses.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
macro_rules! bound {
    ($statement:expr, $key:expr, $numbers:expr) => {{
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe($statement));
        if let Some(key) = $key {
            query = query.bind(&key.as_bytes()[..]);
        }
        for &number in $numbers {
            query = query.bind(number);
        }
        query
    }};
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use bound;

/// Returns the statement with `$1`, `$2` and so on replaced by the parameters, which are SQL.
pub(crate) fn inline(statement: &str, parameters: impl Iterator<Item = String>) -> String {
    (1..).zip(parameters).fold(statement.to_owned(), |statement, (position, value)| {
        statement.replace(&format!("${position}"), &value)
    })
}

/// A database that the stores and inboxes support. Sealed: no other crate can name it.
pub trait Engine: Database + Dialect {
    /// Runs a script of statements.
    fn run_script(
        pool: &Pool<Self>,
        script: Arc<str>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Opens a connection of its own for a purge. `None` if the purge takes connections of the pool.
    fn purging(
        _pool: &Pool<Self>,
    ) -> impl Future<Output = Result<Option<Self::Connection>, Error>> + Send {
        async { Ok(None) }
    }

    /// Runs on that connection after each batch, while claims may run too.
    fn after_batch(
        _connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// Runs one of the [`Statements`].
    fn run(
        connection: &mut Self::Connection,
        statement: Arc<str>,
        key: Option<&EventKey>,
        numbers: &[i64],
        manner: Manner,
    ) -> impl Future<Output = Result<Vec<Option<i64>>, Error>> + Send;
}
