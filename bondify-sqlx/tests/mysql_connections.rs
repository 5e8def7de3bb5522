//! The store on connections that break, become silent, or lead to a read-only server. Each test has its
//! own table on the MariaDB or MySQL at `BONDIFY_TEST_MYSQL_URL`. The test whose server becomes read-only
//! has its own MariaDB.

use std::{
    collections::HashSet,
    error::Error,
    process,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError};
use bondify_sqlx::{
    MySqlStore,
    sqlx::{
        AssertSqlSafe, ConnectOptions, Connection, MySql, MySqlPool, Row,
        mysql::{MySqlConnectOptions, MySqlPoolOptions},
        pool::PoolConnection,
        raw_sql,
    },
};
use bondify_testkit::{
    engine_url,
    engines::{Engine, Proxy, Upstream},
    within_a_minute,
};
use futures_util::future::{join, join_all};
use tokio::task::block_in_place;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

/// The time-out of the store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The limit for a call, on a busy machine.
const IN_TIME: Duration = Duration::from_secs(8);

bondify_testkit::network_store_suite!(async || {
    let Rig { proxy, store, .. } = Rig::start().await;
    Some((store, proxy, ()))
});

/// A store whose connections the test can break.
struct Rig {
    proxy: Proxy,
    /// The store's pool, through the proxy.
    pool: MySqlPool,
    /// A pool that does not go through the proxy.
    direct: MySqlPool,
    store: MySqlStore,
    table: String,
}

impl Rig {
    async fn start() -> Self {
        Self::with(|pool| pool.test_before_acquire(false)).await
    }

    async fn with(configure: impl Fn(MySqlPoolOptions) -> MySqlPoolOptions) -> Self {
        let url = engine_url("BONDIFY_TEST_MYSQL_URL").unwrap_or_else(|| process::exit(0));
        let options = MySqlConnectOptions::from_str(&url).expect("a valid URL");
        let engine = format!("{}:{}", options.get_host(), options.get_port());
        let engine = Upstream::Tcp(engine.parse().expect("a valid address"));
        let proxy = Proxy::start(engine).await.expect("there is a free port");
        let (host, port) = (proxy.address().ip().to_string(), proxy.address().port());
        let pool = configure(MySqlPoolOptions::new().max_connections(5));
        let pool = pool.connect_with(options.clone().host(&host).port(port)).await;
        let pool = pool.expect("the engine can be reached");
        let direct =
            MySqlPoolOptions::new().connect_with(options).await.expect("the engine can be reached");

        let test = thread::current().name().expect("a test's thread").to_owned();
        let table: String = test.chars().take(55).collect();
        let store = MySqlStore::with_table(pool.clone(), &table).expect("a valid table name");
        let store = store.timeout(TIMEOUT);
        run(&direct, format!("DROP TABLE IF EXISTS {table}")).await;
        store.migrate().await.expect("the table can be created");
        let rig = Self { proxy, pool, direct, store, table };
        rig.fill_pool().await;
        rig
    }

    /// Leaves five idle connections in the pool.
    async fn fill_pool(&self) -> Vec<u64> {
        let all = join_all((0..5).map(|_| self.pool.acquire())).await;
        let mut sessions = Vec::new();
        for connection in all {
            let mut connection = connection.expect("the pool has five connections");
            let row = raw_sql("SELECT connection_id()").fetch_one(&mut *connection).await;
            sessions.push(row.expect("the engine answers").get(0));
            connection.return_to_pool().await;
        }
        sessions
    }

    /// Makes five idle connections of the pool read-only.
    async fn demote(&self) {
        let all = join_all((0..5).map(|_| self.pool.acquire())).await;
        for connection in all {
            let mut connection = connection.expect("the pool has five connections");
            let set = raw_sql("SET SESSION TRANSACTION READ ONLY");
            set.execute(&mut *connection).await.expect("any user may set it");
            connection.return_to_pool().await;
        }
    }

    async fn lock(&self) -> PoolConnection<MySql> {
        let mut lock = self.direct.acquire().await.expect("the engine answers");
        let statement = format!("LOCK TABLES {} WRITE", self.table);
        raw_sql(AssertSqlSafe(statement)).execute(&mut *lock).await.expect("the lock is free");
        lock
    }

    /// A query for the number of sessions that wait for the table.
    fn waiting(&self) -> String {
        format!(
            "SELECT count(*) FROM information_schema.processlist
            WHERE state LIKE 'Waiting for table%' AND info LIKE '%{}%' AND id != connection_id()",
            self.table
        )
    }

    /// Locks the table, waits until `call` waits for the lock, runs `meanwhile` and unlocks the table.
    async fn locked_out<T>(&self, call: impl Future<Output = T>, meanwhile: impl FnOnce()) -> T {
        let mut lock = self.lock().await;
        let unlock = async {
            while number(&self.direct, self.waiting()).await == 0 {}
            meanwhile();
            raw_sql("UNLOCK TABLES").execute(&mut *lock).await.expect("the engine answers");
        };
        join(call, unlock).await.0
    }
}

async fn is_mariadb(pool: &MySqlPool) -> bool {
    number(pool, "SELECT version() LIKE '%MariaDB%'".to_owned()).await == 1
}

async fn run(pool: &MySqlPool, statement: String) {
    raw_sql(AssertSqlSafe(statement)).execute(pool).await.expect("the statement succeeds");
}

async fn number(pool: &MySqlPool, query: String) -> i64 {
    raw_sql(AssertSqlSafe(query)).fetch_one(pool).await.expect("the engine answers").get(0)
}

fn key(name: &str) -> EventKey {
    EventKey::new("", name)
}

fn acquired(claimed: Result<Claimed, StoreError>) -> LeaseToken {
    match claimed {
        Ok(Claimed::Acquired(token)) => token,
        other => panic!("{other:?}"),
    }
}

/// Makes each of the four calls directly after `harm`, which breaks the connections.
async fn every_call_succeeds_after(rig: &Rig, harm: impl AsyncFn()) {
    let mut tokens = Vec::new();
    for name in ["renewed", "completed", "released"] {
        tokens.push(acquired(rig.store.claim(&key(name), LONG).await));
    }
    let in_time = async |call: &mut (dyn Future<Output = Result<bool, StoreError>> + Unpin)| {
        rig.fill_pool().await;
        harm().await;
        let start = Instant::now();
        assert!(call.await.expect("the call is retried"), "the lease is held");
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    };
    in_time(&mut rig.store.renew(&key("renewed"), &tokens[0], LONG)).await;
    in_time(&mut rig.store.complete(&key("completed"), &tokens[1], LONG)).await;
    in_time(&mut rig.store.release(&key("released"), &tokens[2])).await;
    let claim = async || rig.store.claim(&key("claimed"), LONG).await;
    let claim = async { Ok(matches!(claim().await?, Claimed::Acquired(_))) };
    in_time(&mut Box::pin(claim)).await;
}

#[tokio::test]
async fn closed_connections_cause_no_error() {
    let test = async {
        let rig = Rig::start().await;
        every_call_succeeds_after(&rig, async || rig.proxy.cut()).await;
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn terminated_sessions_cause_no_error() {
    let test = async {
        let rig = Rig::start().await;
        let terminate = async || {
            for session in rig.fill_pool().await {
                run(&rig.direct, format!("KILL {session}")).await;
                let left = format!(
                    "SELECT count(*) FROM information_schema.processlist WHERE id = {session}"
                );
                while number(&rig.direct, left.clone()).await > 0 {}
            }
        };
        every_call_succeeds_after(&rig, async || terminate().await).await;
    };
    within_a_minute(test).await;
}

/// As after a failover: the connections stay open, and their server has become read-only.
#[tokio::test]
async fn read_only_connections_cause_no_error() {
    let test = async {
        let rig = Rig::start().await;
        every_call_succeeds_after(&rig, async || rig.demote().await).await;
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn silent_connections_cause_no_error() {
    let test = async {
        let rig = Rig::start().await;
        every_call_succeeds_after(&rig, async || rig.proxy.go_deaf()).await;
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn silent_connections_that_the_pool_tests_cause_no_error() {
    let test = async {
        let rig = Rig::with(|pool| pool.test_before_acquire(true)).await;
        every_call_succeeds_after(&rig, async || rig.proxy.go_deaf()).await;
    };
    within_a_minute(test).await;
}

/// Under load, connections become silent in every state, also while they return to the pool. The sessions
/// that the server may still have are limited, and the pool works again when they have ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_has_connections_when_some_become_silent_under_load() {
    let test = async {
        let rig = Rig::start().await;
        for round in 0..3 {
            let calls = (0..40).map(async |call| {
                let claimed = rig.store.claim(&key(&format!("{round} {call}")), LONG).await;
                if call % 10 == 5 {
                    rig.proxy.go_deaf();
                }
                claimed.is_ok()
            });
            join_all(calls).await;
        }
        rig.proxy.cut();
        let start = Instant::now();
        while rig.store.claim(&key("after it"), LONG).await.is_err() {
            assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_acquired() {
    let test = async {
        let rig = Rig::start().await;
        let store = rig.store.clone().timeout(3 * TIMEOUT);
        let key = key("once");
        let claim = store.claim(&key, LONG);
        let token = acquired(rig.locked_out(claim, || rig.proxy.go_deaf()).await);
        assert_eq!(store.claim(&key, LONG).await.unwrap(), Claimed::InFlight);
        assert!(store.complete(&key, &token, LONG).await.unwrap());
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn an_abandoned_claim_is_released() {
    let test = async {
        let rig = Rig::start().await;
        let key = key("given up");
        let (given_up, is_given_up) = tokio::sync::oneshot::channel();
        let claim = async {
            tokio::select! {
                biased;
                _ = is_given_up => {}
                claimed = rig.store.claim(&key, LONG) => panic!("{claimed:?} without a lock"),
            }
        };
        let give_up = || given_up.send(()).expect("the claim waits");
        rig.locked_out(claim, give_up).await;
        // A lease that was not released would last longer.
        while !matches!(rig.store.claim(&key, LONG).await, Ok(Claimed::Acquired(_))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn every_call_ends_although_the_database_does_not_answer() {
    let test = async {
        let rig = Rig::start().await;
        let store = rig.store.clone().timeout(TIMEOUT / 4);
        let mut lock = rig.lock().await;
        let (key, token) = (key("locked"), LeaseToken::new(1));
        let start = Instant::now();
        store.claim(&key, LONG).await.unwrap_err();
        store.renew(&key, &token, LONG).await.unwrap_err();
        store.complete(&key, &token, LONG).await.unwrap_err();
        store.release(&key, &token).await.unwrap_err();
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());

        // MariaDB does not continue to wait for the lock.
        while is_mariadb(&rig.direct).await && number(&rig.direct, rig.waiting()).await > 0 {}
        raw_sql("UNLOCK TABLES").execute(&mut *lock).await.unwrap();
        // The sessions that waited end first.
        while store.claim(&key, LONG).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(test).await;
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
