//! The store on connections that break, become silent, or lead to a read-only server. Each test has its
//! own table on the MariaDB or MySQL at `BONDIFY_TEST_MYSQL_URL`. The test whose server becomes read-only
//! has its own MariaDB.

use std::{
    collections::HashSet,
    error::Error,
    str::FromStr,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore};
use bondify_sqlx::{
    MySqlStore,
    sqlx::{
        ConnectOptions, Connection, MySqlPool, Row,
        mysql::{MySqlConnectOptions, MySqlPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::within_a_minute;
use futures_util::future::{join, join_all};
use test_engines::Engine;
use tokio::task::block_in_place;

use self::connections::{IN_TIME, LONG, Rig, TIMEOUT, acquired, key, number, run};

#[path = "cases/connections.rs"]
mod connections;

/// The words of MariaDB and MySQL.
mod engine {
    pub(crate) use bondify_sqlx::{
        MySqlStore as Store,
        sqlx::{
            MySql as Database, MySqlPool as Pool,
            mysql::{MySqlConnectOptions as ConnectOptions, MySqlPoolOptions as PoolOptions},
        },
    };

    use super::{number, run};

    pub(crate) type Session = u64;

    pub(crate) const URL: &str = "BONDIFY_TEST_MYSQL_URL";
    pub(crate) const SESSION: &str = "SELECT connection_id()";
    pub(crate) const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";
    pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

    pub(crate) fn lock(table: &str) -> String {
        format!("LOCK TABLES {table} WRITE")
    }

    /// A query for the number of sessions that wait for the table.
    pub(crate) fn waiting(table: &str) -> String {
        format!(
            "SELECT count(*) FROM information_schema.processlist
            WHERE state LIKE 'Waiting for table%' AND info LIKE '%{table}%' AND id != connection_id()"
        )
    }

    /// Returns `true` if a statement that its client gave up no longer waits for a lock.
    pub(crate) async fn ends_waits(pool: &Pool) -> bool {
        number(pool, "SELECT version() LIKE '%MariaDB%'".to_owned()).await == 1
    }

    pub(crate) async fn terminate(pool: &Pool, session: Session) {
        run(pool, format!("KILL {session}")).await;
        let left =
            format!("SELECT count(*) FROM information_schema.processlist WHERE id = {session}");
        while number(pool, left.clone()).await > 0 {}
    }
}

/// The server becomes read-only, and the connections to it stay open.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stays_read_only_is_an_error_that_says_so() {
    let Some(engine) = block_in_place(Engine::mariadb) else { return };
    let test = async {
        let options = MySqlConnectOptions::from_str(engine.url()).unwrap();
        let root = MySqlPool::connect_with(options.clone()).await.unwrap();
        MySqlStore::new(root.clone()).migrate().await.unwrap();
        run(&root, SHOP.to_owned()).await;
        let pool = MySqlPool::connect_with(options.username("shop")).await.unwrap();
        let store = MySqlStore::new(pool.clone()).timeout(IN_TIME);
        let (anything, before) = (key("anything"), key("before"));
        let token = acquired(store.claim(&before, LONG).await);

        run(&root, "SET GLOBAL read_only = 1".to_owned()).await;
        let claim = store.claim(&anything, LONG);
        let complete = store.complete(&before, &token, LONG);
        let (claimed, completed) = join(claim, complete).await;
        for error in [claimed.unwrap_err(), completed.unwrap_err()] {
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("--read-only"), "{cause}");
        }

        // A call that began while the server was read-only succeeds.
        let store = store.timeout(LONG);
        let complete = store.complete(&before, &token, LONG);
        let end = async {
            tokio::time::sleep(TIMEOUT / 10).await;
            run(&root, "SET GLOBAL read_only = 0".to_owned()).await;
        };
        assert!(join(complete, end).await.0.unwrap());
    };
    within_a_minute(test).await;
}

/// Whether a call that failed once with an error succeeds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Retry {
    /// On a connection of the pool.
    Succeeds,
    /// On a new connection, after the others were closed.
    Reconnects,
    Fails,
}

/// A trigger fails the first insert of each connection of the pool, with each of the errors.
#[tokio::test]
async fn each_error_has_its_remedy() {
    use Retry::{Fails, Reconnects, Succeeds};

    let test = async {
        let rig = Rig::start().await;
        let table = &rig.table;
        let failing = format!(
            "DROP TABLE IF EXISTS {table}_failing; CREATE TABLE {table}_failing (id BIGINT)"
        );
        run(&rig.direct, failing).await;
        for (code, state, expected) in [
            (1020, "HY000", Succeeds),
            (1180, "HY000", Succeeds),
            (1205, "HY000", Succeeds),
            (1213, "40001", Succeeds),
            (1317, "70100", Succeeds),
            (1969, "70100", Succeeds),
            (3024, "HY000", Succeeds),
            (3101, "40000", Succeeds),
            (4025, "40002", Succeeds),
            (1040, "08004", Succeeds),
            (1041, "HY000", Succeeds),
            (1135, "HY000", Succeeds),
            (1203, "42000", Succeeds),
            (1226, "42000", Succeeds),
            (1637, "HY000", Succeeds),
            (1047, "08S01", Reconnects),
            (1053, "08S01", Reconnects),
            (1077, "HY000", Reconnects),
            (1079, "HY000", Reconnects),
            (1290, "HY000", Reconnects),
            (1792, "25006", Reconnects),
            (1836, "HY000", Reconnects),
            (1927, "70100", Reconnects),
            (2006, "HY000", Reconnects),
            (2013, "HY000", Reconnects),
            (3032, "HY000", Reconnects),
            (3100, "HY000", Reconnects),
            (3169, "HY000", Reconnects),
            (4031, "HY000", Reconnects),
            (9001, "HY000", Reconnects),
            (1021, "HY000", Fails),
            (1044, "42000", Fails),
            (1062, "23000", Fails),
            (1129, "HY000", Fails),
            (1142, "42000", Fails),
            (1146, "42S02", Fails),
        ] {
            let before = HashSet::<u64>::from_iter(rig.fill_pool().await);
            let ids: Vec<_> = before.iter().map(|id| format!("({id})")).collect();
            let trigger = format!(
                "DELETE FROM {table}_failing;
                INSERT INTO {table}_failing VALUES {};
                DROP TRIGGER IF EXISTS {table}_fails;
                CREATE TRIGGER {table}_fails BEFORE INSERT ON {table} FOR EACH ROW
                BEGIN
                    IF @failed_{code} IS NULL
                        AND CONNECTION_ID() IN (SELECT id FROM {table}_failing)
                    THEN
                        SET @failed_{code} = 1;
                        SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {code};
                    END IF;
                END",
                ids.join(", ")
            );
            run(&rig.direct, trigger).await;
            let claimed = rig.store.claim(&key(&code.to_string()), LONG).await;
            let after = HashSet::from_iter(rig.fill_pool().await);
            let retry = match claimed {
                Ok(Claimed::Acquired(_)) if before == after => Succeeds,
                Ok(Claimed::Acquired(_)) if before.is_disjoint(&after) => Reconnects,
                Err(_) if before == after => Fails,
                other => panic!("{code}: {other:?}, {before:?}, {after:?}"),
            };
            assert_eq!(retry, expected, "{code}");
        }
    };
    within_a_minute(test).await;
}

const SHOP: &str = "CREATE USER shop@localhost; GRANT ALL ON test.* TO shop@localhost";

/// A MariaDB of its own, as a user without special rights.
struct Own {
    _engine: Engine,
    root: MySqlPool,
    store: MySqlStore,
    pool: MySqlPool,
}

impl Own {
    async fn start(connections: u32, options: &[&str]) -> Option<Self> {
        let engine = block_in_place(|| Engine::mariadb_with(options.iter().copied()))?;
        let options = MySqlConnectOptions::from_str(engine.url()).expect("the engine answers");
        let root = MySqlPoolOptions::new().max_connections(1);
        let root = root.connect_with(options.clone()).await.expect("the engine answers");
        MySqlStore::new(root.clone()).migrate().await.expect("the engine answers");
        run(&root, SHOP.to_owned()).await;
        let pool = MySqlPoolOptions::new().max_connections(connections);
        let pool = pool.test_before_acquire(false).connect_with(options.username("shop")).await;
        let pool = pool.expect("the engine answers");
        let store = MySqlStore::new(pool.clone()).timeout(TIMEOUT);
        Some(Self { _engine: engine, root, store, pool })
    }

    /// The number of the store's sessions.
    async fn sessions(&self) -> i64 {
        let sessions = "SELECT count(*) FROM information_schema.processlist WHERE user = 'shop'";
        number(&self.root, sessions.to_owned()).await
    }
}

/// Commits wait for the end of a backup.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_limited_while_commits_hang() {
    const CONNECTIONS: u32 = 3;
    let Some(own) = Own::start(CONNECTIONS, &[]).await else { return };
    let backup = async |stage| run(&own.root, format!("BACKUP STAGE {stage}")).await;
    let test = async {
        for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
            backup(stage).await;
        }
        let refused = async {
            for n in 0.. {
                let wave = (0..4).map(async |call| {
                    let claimed = own.store.claim(&key(&format!("{n} {call}")), LONG).await;
                    claimed.unwrap_err().source().unwrap().to_string()
                });
                if join_all(wave).await.iter().any(|error| error.contains("is the limit")) {
                    return;
                }
            }
        };
        let watched = async {
            loop {
                let sessions = own.sessions().await;
                assert!(sessions < 2 * i64::from(CONNECTIONS), "{sessions} sessions");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = refused => {}
            () = watched => {}
        }
        // A call that is not refused at once would wait for a minute.
        let start = Instant::now();
        own.store.clone().timeout(LONG).claim(&key("at once"), LONG).await.unwrap_err();
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());

        backup("END").await;
        while own.store.claim(&key("afterwards"), LONG).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while own.sessions().await > i64::from(CONNECTIONS) {}
    };
    within_a_minute(test).await;
}

/// The server has room for fewer connections than the pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_closes_no_connection() {
    let Some(own) = Own::start(10, &["--max-connections=10"]).await else { return };
    let test = async {
        let store = own.store.clone().timeout(LONG);
        let mut others = Vec::new();
        while let Ok(other) = own.pool.connect_options().connect().await {
            others.push(other);
        }
        // The pool keeps its one connection, and can open one more.
        others.pop().expect("there was room").close().await.unwrap();
        let row = raw_sql("SELECT connection_id()").fetch_one(&own.pool).await.unwrap();
        let first: u64 = row.get(0);
        let claims =
            (0..100).map(async |n| acquired(store.claim(&key(&n.to_string()), LONG).await));
        join_all(claims).await;
        let first =
            format!("SELECT count(*) FROM information_schema.processlist WHERE id = {first}");
        assert_eq!(number(&own.root, first).await, 1, "the first connection is still open");
    };
    within_a_minute(test).await;
}
