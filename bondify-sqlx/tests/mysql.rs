//! The store and the inbox on a real MariaDB or MySQL, at `BONDIFY_TEST_MYSQL_URL`. Each test has its
//! own database there, which the next run replaces.

use std::{io, process, str::FromStr, thread, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken};
use bondify_sqlx::{
    MySqlInbox, MySqlStore,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, MySqlPool,
        mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlSslMode},
        raw_sql,
    },
};
use bondify_testkit::engine_url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

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

/// Changes that others make to the table.
const CHANGES: &[&str] = &[
    "CREATE TRIGGER inserted AFTER INSERT ON bondify_events FOR EACH ROW SET @x = 1;
    CREATE TRIGGER updated AFTER UPDATE ON bondify_events FOR EACH ROW SET @x = 1;
    CREATE TRIGGER deleted AFTER DELETE ON bondify_events FOR EACH ROW SET @x = 1",
    "CREATE TABLE audit (id BIGINT AUTO_INCREMENT PRIMARY KEY, number BIGINT);
    CREATE TRIGGER inserted AFTER INSERT ON bondify_events
        FOR EACH ROW INSERT INTO audit (number) VALUES (1);
    CREATE TRIGGER updated AFTER UPDATE ON bondify_events
        FOR EACH ROW INSERT INTO audit (number) VALUES (1);
    CREATE TRIGGER deleted AFTER DELETE ON bondify_events
        FOR EACH ROW INSERT INTO audit (number) VALUES (1)",
    "ALTER TABLE bondify_events ADD COLUMN id BIGINT NOT NULL AUTO_INCREMENT UNIQUE FIRST",
];

/// A trigger that makes the operation do nothing.
fn swallow(operation: &str) -> Option<String> {
    let trigger = "CREATE TRIGGER swallow BEFORE UPDATE ON bondify_events
        FOR EACH ROW SET NEW.token = OLD.token, NEW.expires = OLD.expires";
    (operation == "UPDATE").then(|| trigger.to_owned())
}

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
        let store = MySqlStore::new(empty_database().await).timeout(cases::LONG);
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
session_suite!(in_the_dialect_of_oracle, "SET sql_mode = CONCAT('' /*M! , 'ORACLE' */)");

/// `migrate` refuses such sessions, because other code that uses them would not commit.
mod without_autocommit {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let migrated = MySqlStore::new(empty_database().await);
        migrated.migrate().await.expect("the table can be created");
        let pool = pool(10, Duration::from_secs(30), "SET autocommit = 0").await;
        let store = MySqlStore::new(pool).timeout(cases::LONG);
        let refused = store.migrate().await.expect_err("it is refused").to_string();
        assert!(refused.contains("autocommit = 1"), "{refused}");
        store
    });
}

/// The server has to encrypt a password that is sent without TLS, unless it has seen the user before.
#[cfg(feature = "mysql-rsa")]
#[tokio::test]
async fn a_user_with_a_password_connects_without_tls() {
    let root = empty_database().await;
    run(
        &root,
        "DROP USER IF EXISTS shop@localhost; CREATE USER shop@localhost IDENTIFIED BY 'correct horse';
        GRANT ALL ON a_user_with_a_password_connects_without_tls.* TO shop@localhost;
        FLUSH PRIVILEGES",
    )
    .await;
    let options = options().database(&database()).username("shop").password("correct horse");
    let pool = MySqlPool::connect_with(options.ssl_mode(MySqlSslMode::Disabled)).await.unwrap();
    let store = MySqlStore::new(pool);
    store.migrate().await.unwrap();
    let claimed = store.claim(&EventKey::new("", ""), cases::LONG).await.unwrap();
    assert!(matches!(claimed, Claimed::Acquired(_)));
}

/// A proxy or a driver that passes on counts only, and no rows.
#[tokio::test]
async fn a_server_that_returns_no_rows_gives_errors_and_no_outcomes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(confirm_everything(stream));
        }
    });
    let options = MySqlConnectOptions::new().host("127.0.0.1").port(port);
    let options = options.ssl_mode(MySqlSslMode::Disabled);
    let pool = MySqlPool::connect_with(options).await.unwrap();
    let store = MySqlStore::new(pool.clone());
    let (key, token) = (EventKey::new("", ""), LeaseToken::new(1));
    store.claim(&key, cases::LONG).await.unwrap_err();
    store.renew(&key, &token, cases::LONG).await.unwrap_err();
    store.complete(&key, &token, cases::LONG).await.unwrap_err();
    store.release(&key, &token).await.unwrap_err();

    let mut transaction = pool.begin().await.unwrap();
    let event = cases::event("sess_1");
    MySqlInbox::new(pool).record(&mut transaction, &event).await.unwrap_err();
}

/// Answers every message as a MySQL that has changed one row, with the insert id 1, in a transaction.
async fn confirm_everything(mut stream: TcpStream) -> io::Result<()> {
    let greeting = [
        b"\x0a8.0.0\0\x01\0\0\0".as_slice(),
        b"12345678\0",
        // Capabilities: 0x010b_a20a, and between their halves the character set and the status.
        b"\x0a\xa2\x2d\x02\x00\x0b\x01\x15\0\0\0\0\0\0\0\0\0\0",
        b"123456789012\0mysql_native_password\0",
    ];
    let mut packet = (greeting.concat(), 0);
    loop {
        let (payload, number) = packet;
        let [length, ..] = payload.len().to_le_bytes();
        stream.write_all(&[&[length, 0, 0, number], &payload[..]].concat()).await?;
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let [low, middle, high, number] = header;
        let length = u32::from_le_bytes([low, middle, high, 0]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        packet = (vec![0, 1, 1, 3, 0, 0, 0], number + 1);
    }
}

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

#[tokio::test]
async fn the_check_finds_settings_that_lose_or_double_events() {
    let root = empty_database().await;
    let store = MySqlStore::new(root.clone());
    store.migrate().await.unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    assert_eq!(cases::count(&root, "bondify_events").await, 0, "the check leaves no row");

    run(
        &root,
        "DROP USER IF EXISTS reader@localhost; CREATE USER reader@localhost;
        GRANT SELECT, INSERT, UPDATE ON
        the_check_finds_settings_that_lose_or_double_events.* TO reader@localhost",
    )
    .await;
    // Since 2001.
    let session = "SET autocommit = 0, timestamp = 1000000000";
    let pool = MySqlPoolOptions::new().after_connect(move |connection, _| {
        Box::pin(async move { connection.execute(session).await.map(drop) })
    });
    let options = options().database(&database()).username("reader");
    let advice = MySqlStore::new(pool.connect_with(options).await.unwrap()).check().await.unwrap();
    let expected = ["autocommit = 1", "s behind this machine's", "DELETE rows of bondify_events"];
    assert_eq!(advice.len(), expected.len(), "{advice:#?}");
    for (advice, expected) in advice.iter().zip(expected) {
        assert!(advice.contains(expected), "{advice}");
    }
}
