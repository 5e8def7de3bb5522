//! The store on connections that break or become silent, in the words of the engine of the test.

use std::{
    process,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError};
use bondify_sqlx::sqlx::{AssertSqlSafe, Row, pool::PoolConnection, raw_sql};
use bondify_testkit::{engine_url, within_a_minute};
use futures_util::future::{join, join_all};
use test_engines::{Proxy, Upstream};

use super::engine::{self, ConnectOptions, Database, Pool, PoolOptions, Session, Store};

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The time-out of the store.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// The limit for a call, on a busy machine.
pub(crate) const IN_TIME: Duration = Duration::from_secs(8);

test_engines::network_store_suite!(async || {
    let Rig { proxy, store, .. } = Rig::start().await;
    Some((store, proxy, ()))
});

/// A store whose connections the test can break.
pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    /// The store's pool, through the proxy.
    pub(crate) pool: Pool,
    /// A pool that does not go through the proxy.
    pub(crate) direct: Pool,
    pub(crate) store: Store,
    pub(crate) table: String,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|pool| pool.test_before_acquire(false)).await
    }

    pub(crate) async fn with(configure: impl Fn(PoolOptions) -> PoolOptions) -> Self {
        let url = engine_url(engine::URL).unwrap_or_else(|| process::exit(0));
        let options = ConnectOptions::from_str(&url).expect("a valid URL");
        let engine = format!("{}:{}", options.get_host(), options.get_port());
        let engine = Upstream::Tcp(engine.parse().expect("a valid address"));
        let proxy = Proxy::start(engine).await.expect("there is a free port");
        let (host, port) = (proxy.address().ip().to_string(), proxy.address().port());
        let pool = configure(PoolOptions::new().max_connections(5));
        let pool = pool.connect_with(options.clone().host(&host).port(port)).await;
        let pool = pool.expect("the engine can be reached");
        let direct =
            PoolOptions::new().connect_with(options).await.expect("the engine can be reached");

        let test = thread::current().name().expect("a test's thread").to_owned();
        let test = test.rsplit("::").next().unwrap_or_default();
        let table: String = test.chars().take(55).collect();
        let store = Store::with_table(pool.clone(), &table).expect("a valid table name");
        let store = store.timeout(TIMEOUT);
        run(&direct, format!("DROP TABLE IF EXISTS {table}")).await;
        store.migrate().await.expect("the table can be created");
        let rig = Self { proxy, pool, direct, store, table };
        rig.fill_pool().await;
        rig
    }

    /// Leaves five idle connections in the pool.
    pub(crate) async fn fill_pool(&self) -> Vec<Session> {
        let all = join_all((0..5).map(|_| self.pool.acquire())).await;
        let mut sessions = Vec::new();
        for connection in all {
            let mut connection = connection.expect("the pool has five connections");
            let row = raw_sql(engine::SESSION).fetch_one(&mut *connection).await;
            sessions.push(row.expect("the engine answers").get(0));
            connection.return_to_pool().await;
        }
        sessions
    }

    /// Makes five idle connections of the pool read-only.
    pub(crate) async fn demote(&self) {
        let all = join_all((0..5).map(|_| self.pool.acquire())).await;
        for connection in all {
            let mut connection = connection.expect("the pool has five connections");
            let set = raw_sql(engine::READ_ONLY);
            set.execute(&mut *connection).await.expect("any user may set it");
            connection.return_to_pool().await;
        }
    }

    pub(crate) async fn lock(&self) -> PoolConnection<Database> {
        let mut lock = self.direct.acquire().await.expect("the engine answers");
        let statement = engine::lock(&self.table);
        raw_sql(AssertSqlSafe(statement)).execute(&mut *lock).await.expect("the lock is free");
        lock
    }

    /// Locks the table, waits until `call` waits for the lock, runs `meanwhile` and unlocks the table.
    async fn locked_out<T>(&self, call: impl Future<Output = T>, meanwhile: impl FnOnce()) -> T {
        let mut lock = self.lock().await;
        let unlock = async {
            while number(&self.direct, engine::waiting(&self.table)).await == 0 {}
            meanwhile();
            raw_sql(engine::UNLOCK).execute(&mut *lock).await.expect("the engine answers");
        };
        join(call, unlock).await.0
    }
}

pub(crate) async fn run(pool: &Pool, statement: String) {
    raw_sql(AssertSqlSafe(statement)).execute(pool).await.expect("the statement succeeds");
}

pub(crate) async fn number(pool: &Pool, query: String) -> i64 {
    raw_sql(AssertSqlSafe(query)).fetch_one(pool).await.expect("the engine answers").get(0)
}

pub(crate) fn key(name: &str) -> EventKey {
    EventKey::new("", name)
}

pub(crate) fn acquired(claimed: Result<Claimed, StoreError>) -> LeaseToken {
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
                engine::terminate(&rig.direct, session).await;
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

        // The engine does not continue to wait for the lock.
        while engine::ends_waits(&rig.direct).await
            && number(&rig.direct, engine::waiting(&rig.table)).await > 0
        {}
        raw_sql(engine::UNLOCK).execute(&mut *lock).await.unwrap();
        // The sessions that waited end first.
        while store.claim(&key, LONG).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(test).await;
}
