use std::time::Instant;

use bondify_sqlx::{SqliteStore, sqlx::SqlitePool};
use rusqlite::{Connection, params};
use tokio::runtime;

use super::rates::{LEASE, Outcome, RETENTION, compare, fresh_keys, rate};
use crate::{report::Row, rounds::Plan};

pub(super) fn measure(plan: &Plan) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.db");
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let pool = runtime.block_on(SqlitePool::connect_with(SqliteStore::options(&file)))?;
    let store = SqliteStore::new(pool);
    runtime.block_on(store.migrate())?;

    let connection = Connection::open(&file)?;
    connection.pragma_update(None, "synchronous", "full")?;

    let calls = plan.choose(2000, 100);
    let ours = || runtime.block_on(rate(&store, &fresh_keys(calls), 1));
    let theirs = || prepared(&connection, store.claim_and_complete(), calls);
    let measure = "SQLite / the same statements on one prepared connection".to_owned();
    Ok(vec![compare(plan.choose(8, 2), measure, ours, theirs)?.at_least(0.5)])
}

fn prepared(connection: &Connection, statements: [&str; 2], calls: usize) -> Outcome<f64> {
    let [mut claim, mut complete] =
        [connection.prepare(statements[0])?, connection.prepare(statements[1])?];
    let millis = |duration: std::time::Duration| duration.as_millis() as i64;
    let keys = fresh_keys(calls);
    let start = Instant::now();
    for (key, token) in keys.iter().zip(1_i64..) {
        for (statement, duration) in [(&mut claim, LEASE), (&mut complete, RETENTION)] {
            let parameters = params![&key.as_bytes()[..], token, millis(duration)];
            let rows = statement.query_map(parameters, |_| Ok(()))?.count();
            assert_eq!(rows, 1);
        }
    }
    Ok(calls as f64 / start.elapsed().as_secs_f64())
}
