use std::{sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{
    AssertSqlSafe, Error, MySql, MySqlConnection, Pool, Row, mysql::MySqlDatabaseError, raw_sql,
};
use tokio::sync::Semaphore;

use crate::{
    Inbox, Store,
    engine::{Dialect, Engine, Manner, Remedy, Statements, inline},
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

const AUTOCOMMIT: &str = "the sessions of this pool do not commit automatically, so that effects outside of \
     a transaction are lost: set autocommit = 1";

/// The place of the time limit in a statement.
const LIMIT: &str = "$limit";

/// A statement that writes returns no rows on MySQL. Each call is therefore a transaction of several
/// statements, sent in one message, which reads the row while it is locked.
///
/// No assignment reads a column that an earlier assignment has written, because the `sql_mode` decides
/// whether it would get the old or the new value.
impl Dialect for MySql {
    const HAS_SCHEMAS: bool = true;
    const QUOTE: char = '`';
    const WRITERS: usize = Semaphore::MAX_PERMITS;
    const IS_REMOTE: bool = true;
    const READS_BACK: bool = true;
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

        let transaction =
            |statements: String| format!("START TRANSACTION; {LIMIT} {statements}; COMMIT");
        let held = format!("`key` = $1 AND token = $2 AND expires >= {NOW}");
        let select = |rows: &str| format!("SELECT token FROM {table} WHERE {rows} FOR UPDATE");
        let (read, lock) = (select("`key` = $1"), select(&held));

        // The expiry of an existing row is compared with the beginning of the statement, so that both
        // columns get the same decision. The next claim takes over a lease that expires during a wait.
        let claim = format!(
            "INSERT INTO {table} (`key`, token, expires)
            VALUES ($1, $2, {NOW} + $3)
            ON DUPLICATE KEY UPDATE
                token = IF(expires < {START}, $2, token),
                expires = IF(expires < {START}, {NOW} + $3, expires);
            {read}"
        );

        let renew = format!("UPDATE {table} SET expires = {NOW} + $3 WHERE {held}; {lock}");
        let complete = format!(
            "{lock};
            UPDATE {table} SET token = NULL, expires = {NOW} + $3 WHERE {held};
            {read}"
        );
        let release = format!("{lock}; DELETE FROM {table} WHERE {held}; {lock}");

        let record = format!(
            "INSERT INTO {table} (`key`, token, expires)
            VALUES ($1, $2, {NOW} + $3)
            ON DUPLICATE KEY UPDATE
                expires = IF(token > 0, {NOW} + $3, expires),
                token = IF(token > 0, $2, token);
            {read}"
        );

        // With the time at the beginning: the index can be searched only for a constant.
        let expired = format!("expires < {START} ORDER BY expires LIMIT {}", Self::PURGE_BATCH);
        let purge = format!("{}; {LIMIT} DELETE FROM {table} WHERE {expired}", select(&expired));

        Statements {
            migrate: migrate.into(),
            claim: transaction(claim).into(),
            held: transaction(format!("SELECT count(*) FROM {table} WHERE {held} FOR UPDATE"))
                .into(),
            renew: transaction(renew).into(),
            complete: transaction(complete).into(),
            release: transaction(release).into(),
            record: record.into(),
            purge: transaction(purge).into(),
            clock: format!("SELECT {START}").into(),
            settings: vec![
                ("SELECT @@autocommit = 0".into(), AUTOCOMMIT),
                (
                    "SELECT @@innodb_flush_log_at_trx_commit <> 1".into(),
                    "a crash of the server can undo commits that it has acknowledged, so that events take \
                     effect twice: set innodb_flush_log_at_trx_commit = 1",
                ),
                (
                    "SELECT SLEEP(0.01) + (SYSDATE(6) = NOW(6))".into(),
                    "the server runs with --sysdate-is-now, so that leases are shorter by the wait for a \
                     lock: start it without that option",
                ),
            ],
        }
    }

    fn remedy(error: &Error) -> Remedy {
        match error {
            // The connection broke, is silent, or sent an unexpected message.
            Error::Io(_) | Error::Protocol(_) => Remedy::Reconnect,
            Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
                Some(error) => remedy_of(error.number(), error.code().unwrap_or_default()),
                None => Remedy::GiveUp,
            },
            _ => Remedy::GiveUp,
        }
    }

    fn is_denied(error: &Error) -> bool {
        // Of a database, a table, a column.
        let error = error.as_database_error().and_then(|error| error.try_downcast_ref());
        error.is_some_and(|error: &MySqlDatabaseError| matches!(error.number(), 1044 | 1142 | 1143))
    }
}

/// Returns the remedy for an error number and an SQL state. See the error references of MySQL and
/// MariaDB.
fn remedy_of(number: u16, state: &str) -> Remedy {
    match number {
        // A row that changed since the snapshot of MariaDB's `innodb_snapshot_isolation`, a time-out of
        // a lock, a certification failure at the commit of a Galera node.
        1020 | 1180 | 1205 => Remedy::Again,
        // A statement that was cancelled or took too long.
        1317 | 1969 | 3024 => Remedy::Again,
        // Too many connections, of the server or of this user; no memory or thread for another one; too
        // many transactions.
        1040 | 1041 | 1135 | 1203 | 1226 | 1637 => Remedy::Wait,
        // A read-only server or transaction, a server that is offline for users, a member that has left
        // its replication group.
        1290 | 1792 | 1836 | 3032 | 3100 => Remedy::Reconnect,
        // A server that shuts down or has closed the connection.
        1053 | 1077 | 1079 | 1927 | 3169 | 4031 => Remedy::Reconnect,
        // A connection that broke between a proxy and the server: errors of the client library and of
        // ProxySQL.
        2000..3000 | 9001..9010 => Remedy::Reconnect,
        // A deadlock (1213), a conflict in a replication group (3101), and their kind.
        _ if state.starts_with("40") => Remedy::Again,
        // The other errors of connections.
        _ if state.starts_with("08") => Remedy::Reconnect,
        _ => Remedy::GiveUp,
    }
}

impl Engine for MySql {
    async fn run_script(pool: &Pool<Self>, script: Arc<str>) -> Result<(), Error> {
        let mut connection = pool.acquire().await?;
        let mode = raw_sql("SELECT @@autocommit").fetch_one(&mut *connection).await?;
        if mode.try_get::<i64, _>(0)? != 1 {
            return Err(Error::Configuration(AUTOCOMMIT.into()));
        }
        raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await?;
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
        let script = inline(&statement, key.into_iter().chain(numbers));
        // Without a limit, the server would continue to wait for a lock after our time-out, and each
        // retry would add such a session. MySQL has no such setting and reads this as a comment.
        let limit = manner.limit.map_or_else(String::new, |limit| {
            let seconds = limit.as_secs_f64().max(0.001);
            format!("/*M! SET STATEMENT max_statement_time={seconds:.3} FOR */")
        });
        let script = AssertSqlSafe(script.replace(LIMIT, &limit));
        let rows = raw_sql(script).fetch_all(&mut *connection).await;
        if manner.limit.is_some() && matches!(rows, Err(Error::Database(_))) {
            // The statements after the one that failed did not run.
            raw_sql("ROLLBACK").execute(connection).await?;
        }
        rows?.iter().map(|row| row.try_get(0)).collect()
    }
}
