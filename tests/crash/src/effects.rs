//! The effects of events that the inbox records: a row for each, in a table beside the inbox.

use bondify_sqlx::SqliteStore;
use bondify_sqlx::sqlx::{MySqlPool, PgPool, SqlitePool, query, query_as};

use crate::ledger::Entry;

const TABLE: &str = "CREATE TABLE effects (event BIGINT NOT NULL, process BIGINT NOT NULL)";
const ALL: &str = "SELECT event, process FROM effects";

pub(crate) async fn create_table(url: &str) {
    let created = match url.strip_prefix("sqlite:") {
        Some(path) => {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await.expect("a file");
            query(TABLE).execute(&pool).await.map(drop)
        }
        None if url.starts_with("mysql") => {
            let pool = MySqlPool::connect(url).await.expect("it is up");
            query(TABLE).execute(&pool).await.map(drop)
        }
        None => {
            let pool = PgPool::connect(url).await.expect("it is up");
            query(TABLE).execute(&pool).await.map(drop)
        }
    };
    created.expect("the table is new");
}

pub(crate) async fn read(url: &str) -> Vec<Entry> {
    let rows: Result<Vec<(i64, i64)>, _> = match url.strip_prefix("sqlite:") {
        Some(path) => {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await.expect("a file");
            query_as(ALL).fetch_all(&pool).await
        }
        None if url.starts_with("mysql") => {
            let pool = MySqlPool::connect(url).await.expect("it is up");
            query_as(ALL).fetch_all(&pool).await
        }
        None => {
            let pool = PgPool::connect(url).await.expect("it is up");
            query_as(ALL).fetch_all(&pool).await
        }
    };
    let number = |column: i64| column.try_into().expect("it is no negative number");
    let effect =
        |(event, process)| Entry::Effect { event: number(event), process: number(process) };
    rows.expect("the table is there").into_iter().map(effect).collect()
}
