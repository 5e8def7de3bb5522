//! The store on its own PostgreSQL, which is restarted or replaced under load.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use bondify_sqlx::{
    PostgresStore,
    sqlx::{
        AssertSqlSafe, ConnectOptions, PgConnection, Row,
        postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
        raw_sql,
    },
};
use bondify_testkit::within_a_minute;
use test_engines::{Engine, Proxy};
use tokio::task::block_in_place;

use self::restarts::Load;

#[path = "cases/restarts.rs"]
mod restarts;

mod engine {
    use std::time::Duration;

    pub(crate) use bondify_sqlx::PostgresStore as Store;
    use bondify_sqlx::sqlx::postgres::PgPoolOptions as PoolOptions;
    use test_engines::Engine;

    /// The time-out for a connection of the pool.
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

    /// A PostgreSQL of its own, and a store on it.
    pub(crate) async fn start() -> Option<(Engine, Store)> {
        let engine = Engine::postgres()?;
        let pool = PoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
        let store =
            Store::new(pool.connect(engine.url()).await.expect("the engine can be reached"));
        store.migrate().await.expect("the database is empty");
        Some((engine, store))
    }
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
