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

    /// The default time-out of a call.
    const TIMEOUT: Duration;

    fn statements(table: &TableName) -> Statements;

    /// Returns the way in which a call that got this error can still succeed.
    fn remedy(error: &Error) -> Remedy;
}

/// The way in which a failed call can still succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// None: the error is returned.
    None,
    /// A retry on the same connection pool.
    Repeat,
    /// A retry on a new connection.
    Reconnect,
}

/// The statements on one table. Its columns are `key`, `token` (of the lease; null: completed) and
/// `expires`, the last moment at which the row is valid.
///
/// The parameters of each statement are listed here in their order. Durations are in milliseconds.
/// Each statement but `migrate` returns the tokens of the rows that it leaves or removes.
#[derive(Debug)]
pub struct Statements {
    /// Several statements, without parameters.
    pub(crate) migrate: Arc<str>,
    /// Key, a new token, lease. Always returns one row: the key was acquired if its token is the new
    /// one, is in flight if it is another, and is completed if it is null.
    pub(crate) claim: Arc<str>,
    /// Key, token, lease. No row: the lease was lost.
    pub(crate) renew: Arc<str>,
    /// Key, token, retention. No row: the lease was lost.
    pub(crate) complete: Arc<str>,
    /// Key, token. No row: the lease was lost.
    pub(crate) release: Arc<str>,
    /// Key, retention. No row: the key was recorded before.
    pub(crate) record: Arc<str>,
    /// No parameters. Deletes up to [`PURGE_BATCH`] expired rows.
    pub(crate) purge: Arc<str>,
}

/// The number of rows that one statement deletes: few enough that no claim waits noticeably.
pub(crate) const PURGE_BATCH: usize = 100;

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

    /// Runs one of the [`Statements`].
    fn run(
        connection: &mut Self::Connection,
        statement: Arc<str>,
        key: Option<&EventKey>,
        numbers: &[i64],
        manner: Manner,
    ) -> impl Future<Output = Result<Vec<Option<i64>>, Error>> + Send;
}
