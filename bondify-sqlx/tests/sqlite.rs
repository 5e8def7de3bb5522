//! The store and the inbox on SQLite, in files in cargo's folder for tests.

use std::{fs, path::PathBuf, thread, time::Duration};

use bondify_core::{Bondify, Claimed, DedupeStore, Event, EventKey, Secret};
use bondify_sqlx::{
    Recorded, SqliteInbox, SqliteStore,
    sqlx::{
        self, Row, SqlitePool, query,
        sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use bondify_testkit::Payload;

mod cases;

type Database = sqlx::Sqlite;
type Store = SqliteStore;
type Inbox = SqliteInbox;
type Pool = SqlitePool;

const KEY_TYPE: &str = "BLOB";

/// A key and an expiry time in the past, both derived from the number `n`.
const EXPIRED_ROW: &str = "CAST(printf('%016d', n) AS BLOB), n";
const NOW_MILLIS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const EXPIRES_MILLIS: &str = "expires";

/// Changes that others make to the table.
const CHANGES: &[&str] = &[
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER);
    CREATE TRIGGER inserted AFTER INSERT ON bondify_events
        BEGIN INSERT INTO audit (number) VALUES (1); END;
    CREATE TRIGGER updated AFTER UPDATE ON bondify_events
        BEGIN INSERT INTO audit (number) VALUES (1); END;
    CREATE TRIGGER deleted AFTER DELETE ON bondify_events
        BEGIN INSERT INTO audit (number) VALUES (1); END",
    "ALTER TABLE bondify_events ADD COLUMN id INTEGER NOT NULL DEFAULT 7",
];

/// A trigger that makes the operation do nothing.
fn swallow(operation: &str) -> Option<String> {
    Some(format!(
        "CREATE TRIGGER swallow BEFORE {operation} ON bondify_events
        BEGIN SELECT RAISE(IGNORE); END"
    ))
}

/// A pool on an empty database that belongs to the running test.
async fn empty_database() -> Pool {
    pool(10, Duration::from_secs(30), empty_file()).await
}

/// A pool of one connection with a short time-out, on an empty database that belongs to the running
/// test.
async fn one_connection(acquire_timeout: Duration) -> Pool {
    pool(1, acquire_timeout, empty_file()).await
}

/// Another pool on the database of the running test.
async fn another_pool() -> Pool {
    pool(10, Duration::from_secs(30), file()).await
}

async fn pool(connections: u32, acquire_timeout: Duration, file: PathBuf) -> Pool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        .connect_with(SqliteStore::options(file))
        .await
        .expect("SQLite opens a file")
}

fn empty_file() -> PathBuf {
    let file = file();
    for suffix in ["db", "db-wal", "db-shm"] {
        fs::remove_file(file.with_extension(suffix)).ok();
    }
    file
}

/// A file with the name of the running test, which is the name of its thread.
fn file() -> PathBuf {
    let test = thread::current().name().expect("a test's thread").replace("::", "-");
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test).with_extension("db")
}

mod suite {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = SqliteStore::new(empty_database().await).timeout(cases::LONG);
        store.migrate().await.expect("the table can be created");
        store
    });
}

#[tokio::test]
async fn the_options_are_the_documented_ones() {
    let pool = empty_database().await;
    for (pragma, expected) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", "2"),
        ("PRAGMA busy_timeout", "5000"),
    ] {
        let row = query(pragma).fetch_one(&pool).await.unwrap();
        let value = row
            .try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()));
        assert_eq!(value.unwrap(), expected, "{pragma}");
    }
}

#[tokio::test]
async fn the_check_finds_settings_that_lose_or_double_events() {
    let store = SqliteStore::new(empty_database().await);
    store.migrate().await.unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());

    let careless = SqliteStore::options(empty_file())
        .synchronous(SqliteSynchronous::Normal)
        .journal_mode(SqliteJournalMode::Memory);
    let store = SqliteStore::new(SqlitePool::connect_with(careless).await.unwrap());
    store.migrate().await.unwrap();
    let advice = store.check().await.unwrap();
    assert_eq!(advice.len(), 2, "{advice:#?}");
    assert!(advice[0].contains("synchronous = FULL"), "{advice:#?}");
    assert!(advice[1].contains("journal_mode = WAL"), "{advice:#?}");
}

/// A purge has a connection of its own, which does not see a database in memory.
#[tokio::test]
async fn a_database_in_memory_is_purged() {
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    query("INSERT INTO bondify_events VALUES (x'00', NULL, 1)").execute(&pool).await.unwrap();
    assert_eq!(store.purge().await.unwrap(), 1);
}

/// Another program may set no busy time-out.
#[tokio::test]
async fn a_call_waits_for_another_writer_without_a_busy_time_out() {
    let pool = empty_database().await;
    SqliteStore::new(pool.clone()).migrate().await.unwrap();
    let impatient = SqliteStore::options(file()).busy_timeout(Duration::ZERO);
    let store = SqliteStore::new(SqlitePool::connect_with(impatient).await.unwrap());
    let store = store.timeout(cases::LONG);
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let key = EventKey::new("", "");
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        writer.rollback().await.unwrap();
    };
    let (claimed, ()) = futures_util::future::join(store.claim(&key, cases::LONG), end).await;
    assert!(matches!(claimed.unwrap(), Claimed::Acquired(_)));
}

#[tokio::test]
async fn a_read_only_file_is_an_error() {
    let pool = empty_database().await;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    pool.close().await;

    let read_only = SqliteStore::options(file()).read_only(true).create_if_missing(false);
    let pool = SqlitePool::connect_with(read_only).await.unwrap();
    let store = SqliteStore::new(pool);
    let error = store.claim(&EventKey::new("", ""), cases::LONG).await.unwrap_err();
    let cause = cases::cause(&error);
    assert!(cause.contains("readonly"), "{cause}");
}

#[tokio::test]
async fn a_call_ends_while_another_writes_and_leaves_no_lease() {
    let pool = empty_database().await;
    let store = SqliteStore::new(pool.clone()).timeout(Duration::from_secs(1));
    store.migrate().await.unwrap();
    let key = EventKey::new("", "");
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = store.claim(&key, cases::LONG).await.unwrap_err();
    let cause = cases::cause(&error);
    assert!(cause.contains("no answer from the database within 1s"), "{cause}");
    writer.rollback().await.unwrap();

    // The claim that timed out may have been acquired by now. It is released.
    let store = store.timeout(cases::LONG);
    let in_time = async {
        while !matches!(store.claim(&key, cases::LONG).await, Ok(Claimed::Acquired(_))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(cases::LONG / 2, in_time).await.unwrap();
}

#[test]
fn a_table_has_no_schema() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let pool = SqlitePoolOptions::new().connect_lazy("sqlite::memory:").unwrap();
    assert!(SqliteStore::with_table(pool.clone(), "main.events").is_err());
    assert!(SqliteInbox::with_table(pool, "main.events").is_err());
}

/// The sign-in needs a store, and the inbox needs none: one `Bondify` serves both.
#[tokio::test]
async fn an_event_takes_effect_once_in_the_inbox_of_a_bondify_with_a_store() {
    let pool = empty_database().await;
    let inbox = SqliteInbox::new(pool.clone());
    inbox.migrate().await.unwrap();
    query("CREATE TABLE users (telegram_id TEXT NOT NULL)").execute(&pool).await.unwrap();
    let secret = Secret::new("whsec_test").unwrap();
    let in_memory = Bondify::builder(secret.clone()).build().unwrap();
    let in_the_table = Bondify::builder(secret.clone()).store(SqliteStore::new(pool.clone()));
    for (session, bondify) in [("sess_1", in_memory), ("sess_2", in_the_table.build().unwrap())] {
        let request = Payload::confirmed().session_token(session).signed_with(&secret);
        let event = request.verified_by(&secret).unwrap();
        let take_effect = async move |pool: SqlitePool, inbox: SqliteInbox, event: Event| {
            let mut transaction = pool.begin().await.unwrap();
            if inbox.record(&mut transaction, &event).await.unwrap() == Recorded::New {
                let insert = query("INSERT INTO users VALUES (?)").bind(session);
                insert.execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
        };
        // The first answer is lost after the commit, so Bondify delivers the event again.
        for answer in [Err("lost"), Ok(()), Ok(())] {
            let (pool, inbox) = (pool.clone(), inbox.clone());
            let handled = bondify.handle(event.clone(), move |event| async move {
                take_effect(pool, inbox, event).await;
                answer
            });
            assert_eq!(handled.await.is_err(), answer.is_err());
        }
        let count = sqlx::query_scalar("SELECT count(*) FROM users WHERE telegram_id = ?");
        let count: i64 = count.bind(session).fetch_one(&pool).await.unwrap();
        assert_eq!(count, 1, "{session}");
    }
}
