use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{
    AssertSqlSafe, Error, MySql, MySqlConnection, Pool,
    mysql::{MySqlDatabaseError, MySqlQueryResult},
    raw_sql,
};
use tokio::sync::Semaphore;

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, PURGE_BATCH, Remedy, Statements, inline},
    name::TableName,
};

/// A dedupe store on MySQL 8 or later, or MariaDB 10.6 or later, for any number of instances.
///
#[doc = include_str!("docs/mysql.md")]
pub type MySqlStore = Store<MySql>;

/// An inbox on MySQL or MariaDB. See [`Inbox`] for the rules of its transactions.
///
#[doc = include_str!("docs/mysql_inbox.md")]
pub type MySqlInbox = Inbox<MySql>;

/// Milliseconds since 1970 at the beginning of the statement, in UTC regardless of the session's time
/// zone. The value is the same throughout the statement.
const START: &str =
    "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000)";

/// Milliseconds since 1970 at the evaluation, so after any wait for a locked row. There is no
/// `SYSDATE` in UTC, so this adds the time since the beginning of the statement.
const NOW: &str = "((TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6))
                + TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6))) DIV 1000)";

/// The last insert ID for a row without a token.
const NO_TOKEN: u64 = 1;

/// The last insert ID for no row.
const NO_ROW: u64 = 2;

/// MySQL returns no rows from a statement that writes. The statements here return their result in the
/// last insert ID, which `LAST_INSERT_ID(expression)` sets: a token, [`NO_TOKEN`] or [`NO_ROW`]. The
/// number of affected rows is not reliable, because a setting of the connection decides whether an
/// unchanged row counts.
///
/// No assignment reads a column that an earlier assignment has written, because the `sql_mode` decides
/// whether it would get the old or the new value.
impl Dialect for MySql {
    const HAS_SCHEMAS: bool = true;
    const QUOTE: char = '`';
    const WRITERS: usize = Semaphore::MAX_PERMITS;
    const IS_REMOTE: bool = true;
    const TIMEOUT: Duration = Duration::from_secs(2);

    fn statements(table: &TableName) -> Statements {
        let (table, index) = (table.quoted(Self::QUOTE), table.quoted_index(Self::QUOTE));

        let migrate = format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                `key` binary(16) NOT NULL PRIMARY KEY,
                token bigint,
                expires bigint NOT NULL,
                INDEX {index} (expires)
            ) ENGINE = InnoDB"
        );

        // The expiry of an existing row is compared with the beginning of the statement, so that both
        // columns get the same decision. The next claim takes over a lease that expires during a wait.
        let claim = format!(
            "INSERT INTO {table} (`key`, token, expires)
            VALUES ($1, LAST_INSERT_ID($2), {NOW} + $3)
            ON DUPLICATE KEY UPDATE
                token = IF(
                    expires < {START},
                    LAST_INSERT_ID($2),
                    NULLIF(LAST_INSERT_ID(IFNULL(token, {NO_TOKEN})), {NO_TOKEN})
                ),
                expires = IF(expires < {START}, {NOW} + $3, expires)"
        );

        let held = format!("`key` = $1 AND token = $2 AND expires >= {NOW}");
        let renew = format!(
            "UPDATE {table} SET token = LAST_INSERT_ID(token), expires = {NOW} + $3 WHERE {held}"
        );
        let complete =
            format!("UPDATE {table} SET token = NULL, expires = {NOW} + $3 WHERE {held}");
        let release = format!("DELETE FROM {table} WHERE {held}");

        let record = format!(
            "INSERT INTO {table} (`key`, token, expires)
            VALUES ($1, NULLIF(LAST_INSERT_ID({NO_TOKEN}), {NO_TOKEN}), {NOW} + $2)
            ON DUPLICATE KEY UPDATE
                expires = IF(
                    LAST_INSERT_ID(IF(token IS NULL, {NO_ROW}, {NO_TOKEN})) = {NO_ROW},
                    expires,
                    {NOW} + $2
                ),
                token = NULL"
        );

        // With the time at the beginning: the index can be searched only for a constant.
        let purge = format!(
            "DELETE FROM {table} WHERE expires < {START} ORDER BY expires LIMIT {PURGE_BATCH}"
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
            // The connection broke, is silent, or sent an unexpected message.
            Error::Io(_) | Error::Protocol(_) => Remedy::Reconnect,
            Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
                Some(error) => remedy_of(error.number(), error.code().unwrap_or_default()),
                None => Remedy::None,
            },
            _ => Remedy::None,
        }
    }
}

/// Returns the remedy for an error number and an SQL state. See the error references of MySQL and
/// MariaDB.
fn remedy_of(number: u16, state: &str) -> Remedy {
    match number {
        // A time-out of a lock, a deadlock, a row that changed since the snapshot, a statement that
        // was cancelled or took too long.
        1205 | 1213 | 1020 | 1317 | 1969 => Remedy::Repeat,
        // A read-only server or transaction.
        1290 | 1792 | 1836 => Remedy::Reconnect,
        // A server that shuts down or has closed the connection.
        1053 | 1077 | 1079 | 1927 | 4031 => Remedy::Reconnect,
        // A connection that broke between a proxy and the server: errors of the client library and of
        // ProxySQL.
        2000..3000 | 9001..9010 => Remedy::Reconnect,
        // The other errors of connections.
        _ if state.starts_with("08") => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

impl Engine for MySql {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        raw_sql(AssertSqlSafe(script)).execute(pool).await?;
        Ok(())
    }

    /// Sends one text message. A prepared statement would need two messages, and a proxy would have to
    /// keep the prepared statements of each client apart.
    async fn run(
        connection: &mut MySqlConnection,
        statement: Arc<str>,
        key: Option<&EventKey>,
        numbers: &[i64],
        manner: Manner,
    ) -> Result<Vec<Option<i64>>, Error> {
        let key = key.map(|key| format!("X'{key}'"));
        let numbers = numbers.iter().map(i64::to_string);
        let mut script = inline(&statement, key.into_iter().chain(numbers));
        // Without a limit, the server would continue to wait for a lock after our time-out, and each
        // retry would add such a session. MySQL has no such setting and reads this as a comment.
        if let Some(limit) = manner.limit {
            let seconds = limit.as_secs_f64().max(0.001);
            script = format!("/*M! SET STATEMENT max_statement_time={seconds:.3} FOR */ {script}");
        }
        let result = raw_sql(AssertSqlSafe(script)).execute(connection).await?;
        Ok(rows(&result))
    }
}

/// The tokens of the rows that a statement leaves or removes.
fn rows(result: &MySqlQueryResult) -> Vec<Option<i64>> {
    match result.last_insert_id() {
        // The statement set none: count the rows that it changed or removed.
        0 => (0..result.rows_affected()).map(|_| None).collect(),
        NO_TOKEN => vec![None],
        NO_ROW => Vec::new(),
        token => vec![Some(token.cast_signed())],
    }
}
