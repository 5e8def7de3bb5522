//! The store on its own PostgreSQL, which is restarted or replaced under load.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, StoreError};
use bondify_sqlx::{
    PostgresStore,
    sqlx::{
        AssertSqlSafe, ConnectOptions, PgConnection, Row,
        postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
        raw_sql,
    },
};
use bondify_testkit::engines::{Engine, Proxy, Stop};
use bondify_testkit::within_a_minute;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
    time::timeout,
};

/// Longer than the tests take.
const LONG: Duration = Duration::from_secs(3600);

/// The time-out for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// The limit for a test, on a busy machine.
const IN_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_in_time_and_forgets_nothing() {
    fails_in_time_and_forgets_nothing(Stop::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_load_fails_in_time_and_forgets_nothing() {
    fails_in_time_and_forgets_nothing(Stop::Crash).await;
}

async fn fails_in_time_and_forgets_nothing(stop: Stop) {
    let Some(mut engine) = Engine::postgres() else { return };
    let pool = PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
    let store =
        PostgresStore::new(pool.connect(engine.url()).await.expect("the engine can be reached"));
    store.migrate().await.expect("the database is empty");

    within_a_minute(async {
        let load = Load::start(&store);
        load.completes(500).await;
        block_in_place(|| engine.stop(stop));
        let refused = in_time(store.claim(&EventKey::new("while it is down", ""), LONG)).await;
        refused.expect_err("it is down");

        block_in_place(|| engine.start_again());
        load.completes(500).await;
        load.end().await.must_be_known_to(&store).await;
    })
    .await;
}

/// Open connections stay open, and their server has become read-only.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_ends_within_seconds_and_forgets_nothing() {
    let Some(primary) = Engine::postgres() else { return };
    let replica = block_in_place(|| primary.replica());
    let proxy = Proxy::start(primary.postgres_socket()).await.expect("there is a free port");
    let options = PgConnectOptions::from_str(primary.url())
        .expect("a valid URL")
        .ssl_mode(PgSslMode::Disable);
    let through_proxy = PgConnectOptions::new()
        .host(&proxy.address().ip().to_string())
        .port(proxy.address().port())
        .username("postgres")
        .database("postgres");
    let pool = PgPoolOptions::new().test_before_acquire(false);
    let store = PostgresStore::new(
        pool.connect_with(through_proxy).await.expect("the engine can be reached"),
    );
    store.migrate().await.expect("the database is empty");

    within_a_minute(async {
        let load = Load::start(&store);
        load.completes(500).await;
        let mut old = options.connect().await.expect("the engine can be reached");
        demote(&mut old, &options).await;
        block_in_place(|| replica.promote());
        proxy.redirect(replica.postgres_socket());

        let start = Instant::now();
        load.completes(1).await;
        let back = start.elapsed();
        load.completes(500).await;
        load.end().await.must_be_known_to(&store).await;
        // On an idle machine it takes two seconds.
        assert!(back < Duration::from_secs(10), "back after {back:?}");
    })
    .await;
}

/// Makes the primary read-only, and returns once the replica has all acknowledged commits.
async fn demote(primary: &mut PgConnection, options: &PgConnectOptions) {
    run(primary, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    run(primary, "SELECT pg_reload_conf()").await;
    // The setting reaches the open sessions before a new session, and each reads it before its next
    // statement.
    loop {
        let mut new = options.connect().await.expect("the engine can be reached");
        if is_true(&mut new, "current_setting('default_transaction_read_only') = 'on'").await {
            break;
        }
    }
    let nobody_writes = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL)";
    while !is_true(primary, nobody_writes).await {}
    let end = raw_sql("SELECT pg_current_wal_lsn()::text").fetch_one(&mut *primary).await;
    let end: String = end.expect("the engine answers").get(0);
    let has_all = format!("(SELECT replay_lsn >= '{end}' FROM pg_stat_replication)");
    while !is_true(primary, &has_all).await {}
}

async fn run(connection: &mut PgConnection, statement: &str) {
    raw_sql(AssertSqlSafe(statement)).execute(connection).await.expect("the statement succeeds");
}

async fn is_true(connection: &mut PgConnection, condition: &str) -> bool {
    let query = AssertSqlSafe(format!("SELECT {condition}"));
    raw_sql(query).fetch_one(connection).await.expect("the engine answers").get(0)
}

/// A load: tasks that claim and complete keys and continue after errors.
struct Load {
    tasks: JoinSet<Known>,
    completed: watch::Sender<usize>,
    goes_on: watch::Sender<bool>,
}

/// The keys that the store has acknowledged.
#[derive(Default)]
struct Known {
    completed: Vec<EventKey>,
    /// They may be completed, if that answer was lost.
    acquired: Vec<EventKey>,
}

impl Known {
    /// Asserts that the store knows all of these keys.
    async fn must_be_known_to(self, store: &PostgresStore) {
        for key in self.completed {
            assert_eq!(answer_to_claim(store, &key).await, Claimed::Completed);
        }
        for key in self.acquired {
            let claimed = answer_to_claim(store, &key).await;
            assert!(!matches!(claimed, Claimed::Acquired(_)), "{key} was acquired before");
        }
    }
}

impl Load {
    fn start(store: &PostgresStore) -> Self {
        let (completed, goes_on) = (watch::Sender::new(0), watch::Sender::new(true));
        let task = |task| {
            let (store, completed, goes_on) = (store.clone(), completed.clone(), goes_on.clone());
            async move {
                let mut known = Known::default();
                for number in 0.. {
                    if !*goes_on.borrow() {
                        break;
                    }
                    let key = EventKey::new(&format!("{task}"), format!("{number}"));
                    let claimed = in_time(store.claim(&key, LONG)).await;
                    let Ok(Claimed::Acquired(token)) = claimed else {
                        assert!(claimed.is_err(), "{key} is {claimed:?} without a claim before");
                        continue;
                    };
                    if let Ok(held) = in_time(store.complete(&key, &token, LONG)).await {
                        assert!(held, "{key} was lost");
                        known.completed.push(key);
                        completed.send_modify(|completed| *completed += 1);
                    } else {
                        known.acquired.push(key);
                    }
                }
                known
            }
        };
        Self { tasks: (0..16).map(task).collect(), completed, goes_on }
    }

    /// Waits until `more` keys have been completed.
    async fn completes(&self, more: usize) {
        let enough = *self.completed.borrow() + more;
        let mut completed = self.completed.subscribe();
        completed.wait_for(|&completed| completed >= enough).await.expect("the sender is alive");
    }

    async fn end(self) -> Known {
        self.goes_on.send_replace(false);
        let mut all = Known::default();
        for Known { completed, acquired } in self.tasks.join_all().await {
            all.completed.extend(completed);
            all.acquired.extend(acquired);
        }
        all
    }
}

/// Claims until the answer is not an error.
async fn answer_to_claim(store: &PostgresStore, key: &EventKey) -> Claimed {
    loop {
        if let Ok(claimed) = in_time(store.claim(key, LONG)).await {
            return claimed;
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(IN_TIME, call).await.expect("the call ends in time")
}
