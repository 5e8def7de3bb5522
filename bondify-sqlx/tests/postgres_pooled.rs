//! The store and the inbox on PostgreSQL behind a PgBouncer in transaction mode, whose server
//! connections serve several clients. Each test has a database of its own on the PostgreSQL
//! that `BONDIFY_TEST_POSTGRES_URL` says, and a PgBouncer of its own.

use std::{cell::RefCell, process, str::FromStr, thread, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_sqlx::{
    PostgresInbox, PostgresStore,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::{
    engine_url,
    engines::{PgBouncer, Upstream},
    within_a_minute,
};
use tokio::task::JoinSet;

mod cases;

type Database = sqlx::Postgres;
type Store = PostgresStore;
type Inbox = PostgresInbox;
type Pool = PgPool;

const EXPIRED_ROW: &str =
    "convert_to(lpad(n::text, 16, '0'), 'UTF8'), to_timestamp(n::double precision / 1000)";
const NOW_MILLIS: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const EXPIRES_MILLIS: &str = "floor(extract(epoch FROM expires) * 1000)::bigint";

thread_local! {
    /// The pooler of the test on this thread, which ends with it.
    static POOLER: RefCell<Option<PgBouncer>> = const { RefCell::new(None) };
}

async fn empty_database() -> Pool {
    create_database().await;
    another_pool().await
}

async fn one_connection(patience: Duration) -> Pool {
    create_database().await;
    pool(1, patience).await
}

async fn another_pool() -> Pool {
    pool(10, Duration::from_secs(30)).await
}

async fn pool(connections: u32, patience: Duration) -> Pool {
    let url = POOLER.with_borrow(|pooler| pooler.as_ref().expect("it runs").url(&database()));
    let options = PgPoolOptions::new().max_connections(connections).acquire_timeout(patience);
    options.test_before_acquire(false).connect(&url).await.expect("PgBouncer can be reached")
}

/// Replaces the database of the running test by an empty one, and starts a pooler.
async fn create_database() {
    let url = engine_url("BONDIFY_TEST_POSTGRES_URL").unwrap_or_else(|| process::exit(0));
    let options = PgConnectOptions::from_str(&url).expect("a URL");
    let mut direct = options.connect().await.expect("PostgreSQL can be reached");
    let database = database();
    for statement in [
        format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
        format!("CREATE DATABASE {database}"),
    ] {
        raw_sql(AssertSqlSafe(statement)).execute(&mut direct).await.expect("a superuser may");
    }
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let address = Upstream::Tcp(address.parse().expect("an address"));
    let pooler = PgBouncer::transaction_mode(&address).unwrap_or_else(|| process::exit(0));
    POOLER.with_borrow_mut(|current| *current = Some(pooler));
}

/// A database named after the running test, as its thread is.
fn database() -> String {
    format!("pooled_{}", thread::current().name().expect("a test's thread").replace("::", "_"))
        .chars()
        .take(63)
        .collect()
}

mod suite {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = PostgresStore::new(empty_database().await);
        store.migrate().await.expect("a table");
        store
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_server_connections_do_not_get_mixed_up() {
    within_a_minute(async {
        let stores = [empty_database().await, another_pool().await].map(PostgresStore::new);
        stores[0].migrate().await.expect("a table");
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let store = stores[client % 2].clone();
            clients.spawn(async move {
                let mut errors = 0;
                let mut wrong = 0;
                for number in 0..50 {
                    let key = EventKey::new(&format!("{client}"), format!("{number}"));
                    match store.claim(&key, cases::LONG).await {
                        Ok(Claimed::Acquired(token)) => {
                            match store.renew(&key, &token, cases::LONG).await {
                                Ok(true) => {}
                                Ok(false) => wrong += 1,
                                Err(e) => {
                                    errors += 1;
                                    if errors == 1 {
                                        eprintln!("{:?}", std::error::Error::source(&e));
                                    }
                                }
                            }
                            match store.complete(&key, &token, cases::LONG).await {
                                Ok(true) => {}
                                Ok(false) => wrong += 1,
                                Err(_) => errors += 1,
                            }
                        }
                        Ok(_) => wrong += 1,
                        Err(_) => errors += 1,
                    }
                }
                (errors, wrong)
            });
        }
        let outcome = clients.join_all().await;
        let (errors, wrong): (Vec<i32>, Vec<i32>) = outcome.into_iter().unzip();
        assert_eq!((errors.iter().sum::<i32>(), wrong.iter().sum::<i32>()), (0, 0));
    })
    .await;
}
