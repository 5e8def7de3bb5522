//! The store and the inbox on PostgreSQL behind a PgBouncer in transaction mode, whose server
//! connections serve several clients. Each test has its own PgBouncer, and its own database on the
//! PostgreSQL at `BONDIFY_TEST_POSTGRES_URL`.

use std::{cell::RefCell, process, str::FromStr, thread, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey, StoreError};
use bondify_sqlx::{
    PostgresInbox, PostgresStore,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::{engine_url, within_a_minute};
use test_engines::{PgBouncer, Upstream};
use tokio::task::JoinSet;

mod cases;

type Database = sqlx::Postgres;
type Store = PostgresStore;
type Inbox = PostgresInbox;
type Pool = PgPool;

const KEY_TYPE: &str = "bytea";

const EXPIRED_ROW: &str =
    "convert_to(lpad(n::text, 16, '0'), 'UTF8'), to_timestamp(n::double precision / 1000)";
const NOW_MILLIS: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const EXPIRES_MILLIS: &str = "floor(extract(epoch FROM expires) * 1000)::bigint";

/// Changes that others make to the table.
const CHANGES: &[&str] = &[
    "CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY, number bigint);
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO audit (number) VALUES (1); RETURN NULL; END $$;
    CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON bondify_events
        FOR EACH ROW EXECUTE FUNCTION audit()",
    "ALTER TABLE bondify_events ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY",
];

/// A trigger that makes the operation do nothing.
fn swallow(operation: &str) -> Option<String> {
    Some(format!(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER swallow BEFORE {operation} ON bondify_events
            FOR EACH ROW EXECUTE FUNCTION swallow()"
    ))
}

thread_local! {
    /// The pooler of the test on this thread. It ends with the thread.
    static POOLER: RefCell<Option<PgBouncer>> = const { RefCell::new(None) };
}

async fn empty_database() -> Pool {
    create_database(PgBouncer::transaction_mode).await;
    another_pool().await
}

async fn one_connection(acquire_timeout: Duration) -> Pool {
    create_database(PgBouncer::transaction_mode).await;
    pool(1, acquire_timeout).await
}

async fn another_pool() -> Pool {
    pool(10, Duration::from_secs(30)).await
}

async fn pool(connections: u32, acquire_timeout: Duration) -> Pool {
    let url = POOLER
        .with_borrow(|pooler| pooler.as_ref().expect("the pooler is running").url(&database()));
    let options =
        PgPoolOptions::new().max_connections(connections).acquire_timeout(acquire_timeout);
    options.test_before_acquire(false).connect(&url).await.expect("PgBouncer can be reached")
}

/// Replaces the database of the running test by an empty one and starts a pooler.
async fn create_database(pooler: fn(&Upstream) -> Option<PgBouncer>) {
    let url = engine_url("BONDIFY_TEST_POSTGRES_URL").unwrap_or_else(|| process::exit(0));
    let options = PgConnectOptions::from_str(&url).expect("a valid URL");
    let mut direct = options.connect().await.expect("PostgreSQL can be reached");
    let database = database();
    for statement in [
        format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
        format!("CREATE DATABASE {database}"),
    ] {
        raw_sql(AssertSqlSafe(statement))
            .execute(&mut direct)
            .await
            .expect("the statement succeeds");
    }
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let address = Upstream::Tcp(address.parse().expect("a valid address"));
    let pooler = pooler(&address).unwrap_or_else(|| process::exit(0));
    POOLER.with_borrow_mut(|current| *current = Some(pooler));
}

/// A database with the name of the running test, which is the name of its thread.
fn database() -> String {
    format!("pooled_{}", thread::current().name().expect("a test's thread").replace("::", "_"))
        .chars()
        .take(63)
        .collect()
}

mod suite {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = PostgresStore::new(empty_database().await).timeout(cases::LONG);
        store.migrate().await.expect("the table can be created");
        store
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_server_connections_are_independent() {
    are_independent(PgBouncer::transaction_mode).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_server_connections_by_statement_are_independent() {
    are_independent(PgBouncer::statement_mode).await;
}

/// Eight clients of two instances claim, renew and complete fifty keys each.
async fn are_independent(pooler: fn(&Upstream) -> Option<PgBouncer>) {
    let test = async {
        create_database(pooler).await;
        let stores = [another_pool().await, another_pool().await].map(PostgresStore::new);
        stores[0].migrate().await.expect("the table can be created");
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let store = stores[client % 2].clone();
            clients.spawn(async move {
                let mut failures = 0;
                for number in 0..50 {
                    let key = EventKey::new(&format!("{client}"), format!("{number}"));
                    let done = async {
                        let Claimed::Acquired(token) = store.claim(&key, cases::LONG).await? else {
                            return Ok(false);
                        };
                        let held = store.renew(&key, &token, cases::LONG).await?;
                        Ok::<_, StoreError>(
                            held && store.complete(&key, &token, cases::LONG).await?,
                        )
                    };
                    failures += usize::from(!matches!(done.await, Ok(true)));
                }
                failures
            });
        }
        assert_eq!(clients.join_all().await.iter().sum::<usize>(), 0, "of 400 events");
    };
    within_a_minute(test).await;
}
