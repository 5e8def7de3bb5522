use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{Database, Error, Pool};

use crate::name::TableName;

/// All that differs between the engines: their SQL.
pub trait Dialect {
    /// Whether a table name may say which schema it is in.
    const HAS_SCHEMAS: bool;

    /// The quote around an identifier.
    const QUOTE: char = '"';

    /// How many statements of one process may write at the same time.
    const WRITERS: usize;

    /// Whether a network is between us and the engine, so that a connection can break, go
    /// deaf, or lead to the wrong server.
    const IS_REMOTE: bool;

    /// How long a call may take, unless a store sets another time-out.
    const TIMEOUT: Duration;

    fn statements(table: &TableName) -> Statements;

    /// How the call that got this error can still succeed.
    fn remedy(error: &Error) -> Remedy;
}

/// The way to have a failed call succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// There is none.
    None,
    /// To make it again.
    Repeat,
    /// To make it again on a new connection.
    Reconnect,
}

/// The statements on one table. Its columns are `key`, `token` (of the lease; null:
/// completed) and `expires`, up to and including which the row counts.
///
/// Each takes its parameters in the order that is given here, durations in
/// milliseconds, and but for `migrate` returns the tokens of the rows it leaves or
/// removes.
#[derive(Debug)]
pub struct Statements {
    /// Several statements, without parameters.
    pub(crate) migrate: Arc<str>,
    /// Key, a fresh token, lease. Always one row: with the fresh token, the key was
    /// acquired; with another, it is in flight; with null, it is completed.
    pub(crate) claim: Arc<str>,
    /// Key, token, lease. No row: the lease was lost.
    pub(crate) renew: Arc<str>,
    /// Key, token, retention. No row: the lease was lost.
    pub(crate) complete: Arc<str>,
    /// Key, token. No row: the lease was lost.
    pub(crate) release: Arc<str>,
    /// Key, retention. No row: the key was completed before.
    pub(crate) record: Arc<str>,
    /// Removes up to [`PURGE_BATCH`] expired rows.
    pub(crate) purge: Arc<str>,
}

/// Few enough rows that no claim waits noticeably for them to be deleted.
pub(crate) const PURGE_BATCH: usize = 100;

/// The manner in which a statement is run, for engines where it differs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether the connection is ours for longer than a transaction, so that it can keep
    /// prepared statements.
    pub(crate) prepared: bool,
    /// The time after which the engine gives the statement up, which then has to be in a
    /// transaction of its own. A prepared statement has no such limit.
    pub(crate) limit: Option<Duration>,
}

/// A query with a statement's parameters bound to it. A macro, since a generic function would
/// have to list every trait of sqlx that this uses.
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

/// The statement with its parameters, which are SQL, written into it: `$1` and so on.
pub(crate) fn inline(statement: &str, parameters: impl Iterator<Item = String>) -> String {
    (1..).zip(parameters).fold(statement.to_owned(), |statement, (position, value)| {
        statement.replace(&format!("${position}"), &value)
    })
}

/// A database that the stores and inboxes work on. Sealed, as no other crate can name
/// it.
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
