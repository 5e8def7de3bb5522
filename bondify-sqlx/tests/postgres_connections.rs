//! The store on connections that break, become silent, or lead to a read-only server. Each test has its
//! own table on the PostgreSQL at `BONDIFY_TEST_POSTGRES_URL`.

use std::{
    collections::HashSet,
    error::Error,
    process,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, Secret, StoreError};
use bondify_sqlx::{
    PostgresInbox, PostgresStore, Recorded,
    sqlx::{
        AssertSqlSafe, PgPool, Row,
        postgres::{PgConnectOptions, PgPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::{
    Payload, engine_url,
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
    pool: PgPool,
    /// A pool that does not go through the proxy.
    direct: PgPool,
    store: PostgresStore,
    table: String,
}

impl Rig {
    async fn start() -> Self {
        Self::with(|pool| pool.test_before_acquire(false)).await
    }

    async fn with(configure: impl Fn(PgPoolOptions) -> PgPoolOptions) -> Self {
        let url = engine_url("BONDIFY_TEST_POSTGRES_URL").unwrap_or_else(|| process::exit(0));
        let options = PgConnectOptions::from_str(&url).expect("a valid URL");
        let engine = format!("{}:{}", options.get_host(), options.get_port());
        let engine = Upstream::Tcp(engine.parse().expect("a valid address"));
        let proxy = Proxy::start(engine).await.expect("there is a free port");
        let (host, port) = (proxy.address().ip().to_string(), proxy.address().port());
        let pool = configure(PgPoolOptions::new().max_connections(5));
        let pool = pool.connect_with(options.clone().host(&host).port(port)).await;
        let pool = pool.expect("PostgreSQL can be reached");
        let direct =
            PgPoolOptions::new().connect_with(options).await.expect("the engine can be reached");

        let test = thread::current().name().expect("a test's thread").to_owned();
        let table: String = test.chars().take(55).collect();
        let store = PostgresStore::with_table(pool.clone(), &table).expect("a valid table name");
        let store = store.timeout(TIMEOUT);
        run(&direct, format!("DROP TABLE IF EXISTS {table}")).await;
        store.migrate().await.expect("the table can be created");
        let rig = Self { proxy, pool, direct, store, table };
        rig.fill_pool().await;
        rig
    }

    /// Leaves five idle connections in the pool.
    async fn fill_pool(&self) -> Vec<i32> {
        let all = join_all((0..5).map(|_| self.pool.acquire())).await;
        let mut sessions = Vec::new();
        for connection in all {
            let mut connection = connection.expect("the pool has five connections");
            let row = raw_sql("SELECT pg_backend_pid()").fetch_one(&mut *connection).await;
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
            let set = raw_sql("SET default_transaction_read_only = on");
            set.execute(&mut *connection).await.expect("any user may set it");
            connection.return_to_pool().await;
        }
    }

    /// Locks the table, waits until `call` waits for the lock, runs `meanwhile` and unlocks the table.
    async fn locked_out<T>(&self, call: impl Future<Output = T>, meanwhile: impl FnOnce()) -> T {
        let mut lock = self.direct.begin().await.expect("the engine answers");
        let table = &self.table;
        let statement = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        raw_sql(AssertSqlSafe(statement)).execute(&mut *lock).await.expect("the lock is free");
        let unlock = async {
            let waiting = format!(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
            );
            while number(&self.direct, waiting.clone()).await == 0 {}
            meanwhile();
            lock.rollback().await.expect("the engine answers");
        };
        join(call, unlock).await.0
    }
}

async fn run(pool: &PgPool, statement: String) {
    raw_sql(AssertSqlSafe(statement)).execute(pool).await.expect("the statement succeeds");
}

async fn number(pool: &PgPool, query: String) -> i64 {
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
                let terminated =
                    format!("SELECT pg_terminate_backend({session}, 10000)::int::int8");
                number(&rig.direct, terminated).await;
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

/// With the pool in the documentation of `PostgresInbox`.
#[tokio::test]
async fn an_inbox_is_not_given_read_only_connections() {
    let test = async {
        let rig = Rig::with(|pool| {
            pool.test_before_acquire(false).before_acquire(|connection, _| {
                Box::pin(async move {
                    let row = raw_sql("SHOW transaction_read_only").fetch_one(connection).await?;
                    Ok(row.try_get::<String, _>(0)? == "off")
                })
            })
        });
        let rig = rig.await;
        rig.demote().await;
        let secret = Secret::new("whsec_test").unwrap();
        let event = Payload::confirmed().signed_with(&secret).verified_by(&secret).unwrap();
        let inbox = PostgresInbox::with_table(rig.pool.clone(), &rig.table).unwrap();
        let mut transaction = rig.pool.begin().await.unwrap();
        assert_eq!(inbox.record(&mut transaction, &event).await.unwrap(), Recorded::New);
        transaction.commit().await.unwrap();
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
        let mut lock = rig.direct.begin().await.unwrap();
        let statement = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", rig.table);
        raw_sql(AssertSqlSafe(statement)).execute(&mut *lock).await.unwrap();

        let (key, token) = (key("locked"), LeaseToken::new(1));
        let start = Instant::now();
        store.claim(&key, LONG).await.unwrap_err();
        store.renew(&key, &token, LONG).await.unwrap_err();
        store.complete(&key, &token, LONG).await.unwrap_err();
        store.release(&key, &token).await.unwrap_err();
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());

        // PostgreSQL does not continue to wait for the lock.
        let waiting = format!(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{}'::regclass",
            rig.table
        );
        while number(&rig.direct, waiting.clone()).await > 0 {}
        lock.rollback().await.unwrap();
        // The sessions that waited end first.
        while store.claim(&key, LONG).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(test).await;
}

#[tokio::test]
async fn a_database_that_stays_read_only_is_an_error_that_says_so() {
    let test = async {
        let rig = Rig::start().await;
        let pool = rig.pool.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new()
            .connect_with(pool.options([("default_transaction_read_only", "on")]))
            .await
            .unwrap();
        let store = PostgresStore::with_table(pool, &rig.table).unwrap().timeout(IN_TIME);
        let error = store.claim(&key("anything"), LONG).await.unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("read-only transaction"), "{cause}");
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

/// A trigger fails the first insert with each of the errors.
#[tokio::test]
async fn each_error_has_its_remedy() {
    use Retry::{Fails, Reconnects, Succeeds};

    let test = async {
        let rig = Rig::start().await;
        let table = &rig.table;
        let fails = format!(
            "CREATE SEQUENCE IF NOT EXISTS {table}_tries;
            CREATE OR REPLACE FUNCTION {table}_fails() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER fails BEFORE INSERT ON {table}
                FOR EACH ROW EXECUTE FUNCTION {table}_fails()"
        );
        run(&rig.direct, fails).await;
        for (code, expected) in [
            ("40000", Succeeds),
            ("40001", Succeeds),
            ("40003", Succeeds),
            ("40P01", Succeeds),
            ("57014", Succeeds),
            ("72000", Succeeds),
            ("55P03", Succeeds),
            ("53200", Succeeds),
            ("53300", Succeeds),
            ("08000", Reconnects),
            ("08006", Reconnects),
            ("08P01", Reconnects),
            ("25006", Reconnects),
            ("25P03", Reconnects),
            ("25P04", Reconnects),
            ("57P01", Reconnects),
            ("57P02", Reconnects),
            ("57P03", Reconnects),
            ("57P05", Reconnects),
            ("23505", Fails),
            ("42501", Fails),
            ("42P01", Fails),
            ("53100", Fails),
            ("57P04", Fails),
            ("XX000", Fails),
        ] {
            let fails = format!(
                "ALTER SEQUENCE {table}_tries RESTART;
                CREATE OR REPLACE FUNCTION {table}_fails() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN
                    IF nextval('{table}_tries') = 1 THEN
                        RAISE EXCEPTION 'failed' USING ERRCODE = '{code}';
                    END IF;
                    RETURN NEW;
                END $$"
            );
            run(&rig.direct, fails).await;
            let before = HashSet::<i32>::from_iter(rig.fill_pool().await);
            let claimed = rig.store.claim(&key(code), LONG).await;
            let after = HashSet::from_iter(rig.fill_pool().await);
            let retry = match claimed {
                Ok(Claimed::Acquired(_)) if before == after => Succeeds,
                Ok(Claimed::Acquired(_)) if before.is_disjoint(&after) => Reconnects,
                Err(_) if before == after => Fails,
                other => panic!("{code}: {other:?}, {before:?}, {after:?}"),
            };
            assert_eq!(retry, expected, "{code}");
            let last = format!("SELECT last_value FROM {table}_tries");
            let tries = if expected == Fails { 1 } else { 2 };
            assert_eq!(number(&rig.direct, last).await, tries, "{code}");
        }
    };
    within_a_minute(test).await;
}

/// A PostgreSQL of its own, as a user without special rights.
struct Own {
    _engine: Engine,
    root: PgPool,
    store: PostgresStore,
    pool: PgPool,
}

impl Own {
    async fn start(connections: u32) -> Option<Self> {
        let engine = block_in_place(Engine::postgres)?;
        let options = PgConnectOptions::from_str(engine.url()).expect("the engine answers");
        let root = PgPoolOptions::new().max_connections(1);
        let root = root.connect_with(options.clone()).await.expect("the engine answers");
        PostgresStore::new(root.clone()).migrate().await.expect("the engine answers");
        run(&root, "CREATE USER shop; GRANT ALL ON bondify_events TO shop".to_owned()).await;
        let pool = PgPoolOptions::new().max_connections(connections);
        let pool = pool.test_before_acquire(false).connect_with(options.username("shop")).await;
        let pool = pool.expect("the engine answers");
        let store = PostgresStore::new(pool.clone()).timeout(TIMEOUT);
        Some(Self { _engine: engine, root, store, pool })
    }

    /// The number of the store's sessions.
    async fn sessions(&self) -> i64 {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'";
        number(&self.root, sessions.to_owned()).await
    }
}

/// Commits wait for a replica that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_limited_while_commits_hang() {
    const CONNECTIONS: u32 = 3;
    let Some(own) = Own::start(CONNECTIONS).await else { return };
    let wait_for = async |standby| {
        let setting = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        run(&own.root, setting).await;
        run(&own.root, "SELECT pg_reload_conf()".to_owned()).await;
        let set = format!(
            "SELECT count(*) FROM pg_settings
            WHERE name = 'synchronous_standby_names' AND setting = '{standby}'"
        );
        while number(&own.root, set.clone()).await == 0 {}
    };
    let test = async {
        wait_for("nobody").await;
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

        wait_for("").await;
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
    let Some(own) = Own::start(10).await else { return };
    let test = async {
        let store = own.store.clone().timeout(LONG);
        // The pool keeps its one connection, and can open one more.
        run(&own.root, "ALTER USER shop CONNECTION LIMIT 2".to_owned()).await;
        let row = raw_sql("SELECT pg_backend_pid()").fetch_one(&own.pool).await.unwrap();
        let first: i32 = row.get(0);
        let claims =
            (0..100).map(async |n| acquired(store.claim(&key(&n.to_string()), LONG).await));
        join_all(claims).await;
        let first = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {first}");
        assert_eq!(number(&own.root, first).await, 1, "the first connection is still open");
    };
    within_a_minute(test).await;
}
