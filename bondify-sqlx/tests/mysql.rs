//! The store and the inbox on a real MariaDB or MySQL, at `BONDIFY_TEST_MYSQL_URL`. Each test has its
//! own database there, which the next run replaces.

use std::{process, str::FromStr, thread, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_sqlx::{
    MySqlInbox, MySqlStore,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, MySqlPool,
        mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::engine_url;
use tokio::task::JoinSet;

mod cases;

type Database = sqlx::MySql;
type Store = MySqlStore;
type Inbox = MySqlInbox;
type Pool = MySqlPool;

const KEY_TYPE: &str = "binary(16)";

/// A key and an expiry time in the past, both derived from the number `n`.
const EXPIRED_ROW: &str = "lpad(n, 16, '0'), n";
const NOW_MILLIS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000";
const EXPIRES_MILLIS: &str = "expires";

/// The cases quote identifiers as standard SQL does, and insert thousands of rows.
const FOR_THE_CASES: &str = "SET /*M! max_recursive_iterations = 10000, */ \
    /*!80000 cte_max_recursion_depth = 10000, */ sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')";

/// A pool on an empty database that belongs to the running test.
async fn empty_database() -> Pool {
    create_database().await;
    another_pool().await
}

/// A pool of one connection with a short time-out, on an empty database that belongs to the running
/// test.
async fn one_connection(acquire_timeout: Duration) -> Pool {
    create_database().await;
    pool(1, acquire_timeout, FOR_THE_CASES).await
}

/// Another pool on the database of the running test.
async fn another_pool() -> Pool {
    pool(10, Duration::from_secs(30), FOR_THE_CASES).await
}

/// The options to connect to the engine. Without one, the tests end here.
fn options() -> MySqlConnectOptions {
    let url = engine_url("BONDIFY_TEST_MYSQL_URL").unwrap_or_else(|| process::exit(0));
    MySqlConnectOptions::from_str(&url).expect("a valid URL")
}

/// A pool whose sessions run the statement `session` first.
async fn pool(connections: u32, acquire_timeout: Duration, session: &'static str) -> Pool {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(session).await.map(drop) })
        })
        .connect_with(options().database(&database()))
        .await
        .expect("the engine can be reached")
}

async fn create_database() {
    let mut direct =
        MySqlConnection::connect_with(&options()).await.expect("the engine can be reached");
    let database = database();
    let script = format!("DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}");
    raw_sql(AssertSqlSafe(script)).execute(&mut direct).await.expect("the statement succeeds");
}

async fn run(pool: &Pool, script: &'static str) {
    raw_sql(script).execute(pool).await.expect("the statement succeeds");
}

/// A database with the name of the running test, which is the name of its thread.
fn database() -> String {
    let test = thread::current().name().expect("a test's thread").replace("::", "_");
    test.chars().take(64).collect()
}

/// Sessions with settings other than the defaults.
macro_rules! session_suite {
    ($name:ident, $session:literal) => {
        mod $name {
            use super::*;

            bondify_testkit::dedupe_store_suite!(async || {
                create_database().await;
                let pool = pool(10, Duration::from_secs(30), $session).await;
                let store = MySqlStore::new(pool).timeout(cases::LONG);
                store.migrate().await.expect("the table can be created");
                store
            });
        }
    };
}

mod suite {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = MySqlStore::new(empty_database().await);
        store.migrate().await.expect("the table can be created");
        store
    });
}

session_suite!(read_committed, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
session_suite!(serializable, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE");
session_suite!(in_another_time_zone, "SET time_zone = '+05:45'");
session_suite!(
    with_other_sql_modes,
    "SET sql_mode = CONCAT('ANSI,NO_BACKSLASH_ESCAPES', \
        /*M!100300 ',SIMULTANEOUS_ASSIGNMENT', */ '')"
);

#[tokio::test]
async fn a_table_may_be_in_another_database() {
    let pool = empty_database().await;
    let elsewhere = MySqlPool::connect_with(options()).await.unwrap();
    let name = format!("{}.order", database());
    let store = MySqlStore::with_table(elsewhere, &name).unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let claimed = store.claim(&EventKey::new("", ""), cases::LONG).await.unwrap();
    assert!(matches!(claimed, Claimed::Acquired(_)));
    assert_eq!(cases::count(&pool, "\"order\"").await, 1);
}

#[tokio::test]
async fn sessions_in_different_time_zones_agree() {
    create_database().await;
    let west = pool(1, cases::LONG, "SET time_zone = '-11:00'").await;
    let east = pool(1, cases::LONG, "SET time_zone = '+13:00'").await;
    let [west, east] = [west, east].map(MySqlStore::new);
    west.migrate().await.unwrap();
    let key = EventKey::new("", "");
    for [here, there] in [[&west, &east], [&east, &west]] {
        let Claimed::Acquired(token) = here.claim(&key, cases::LONG).await.unwrap() else {
            panic!("the key is free");
        };
        assert_eq!(there.claim(&key, cases::LONG).await.unwrap(), Claimed::InFlight);
        assert!(there.renew(&key, &token, cases::LONG).await.unwrap());
        assert!(there.release(&key, &token).await.unwrap());
    }
}

/// The engine's clock cannot be changed; the times in the table can.
#[tokio::test]
async fn the_engines_clock_counts() {
    let pool = empty_database().await;
    let store = MySqlStore::new(pool.clone());
    store.migrate().await.unwrap();
    let let_time_pass =
        async || run(&pool, "UPDATE bondify_events SET expires = expires - 120000").await;

    let key = EventKey::new("", "");
    let Claimed::Acquired(lost) = store.claim(&key, cases::LONG).await.unwrap() else {
        panic!("a fresh key");
    };
    let_time_pass().await;
    assert!(!store.renew(&key, &lost, cases::LONG).await.unwrap());
    assert!(!store.complete(&key, &lost, cases::LONG).await.unwrap());
    assert!(!store.release(&key, &lost).await.unwrap());
    let Claimed::Acquired(token) = store.claim(&key, cases::LONG).await.unwrap() else {
        panic!("the lease has run out");
    };
    assert!(store.complete(&key, &token, cases::LONG).await.unwrap());
    let_time_pass().await;
    assert!(matches!(store.claim(&key, cases::LONG).await.unwrap(), Claimed::Acquired(_)));
}

/// A renewal that leaves the row unchanged succeeds too.
#[tokio::test]
async fn a_lease_can_be_renewed_many_times_in_a_millisecond() {
    let store = MySqlStore::new(empty_database().await);
    store.migrate().await.unwrap();
    let key = EventKey::new("", "");
    let Claimed::Acquired(token) = store.claim(&key, cases::LONG).await.unwrap() else {
        panic!("a fresh key");
    };
    for _ in 0..200 {
        assert!(store.renew(&key, &token, cases::LONG).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_and_purges_at_once_do_not_fail() {
    let pool = empty_database().await;
    let store = MySqlStore::new(pool.clone());
    store.migrate().await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0..300 {
                // Many keys are claimed while they are expired and being purged.
                let key = EventKey::new("", format!("{}", (n * 8 + task) % 100));
                if let Claimed::Acquired(token) =
                    store.claim(&key, Duration::from_millis(2)).await.unwrap()
                {
                    store.complete(&key, &token, Duration::from_millis(2)).await.unwrap();
                }
                if n % 10 == 0 {
                    store.purge().await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
}
