//! The store and the inbox on a real PostgreSQL, at `BONDIFY_TEST_POSTGRES_URL`. Each test has its own
//! schema there, which the next run replaces.

use std::{process, str::FromStr, thread, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_sqlx::{
    PostgresInbox, PostgresStore,
    sqlx::{
        self, AssertSqlSafe, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
        raw_sql,
    },
};

use bondify_testkit::engine_url;

mod cases;

type Database = sqlx::Postgres;
type Store = PostgresStore;
type Inbox = PostgresInbox;
type Pool = PgPool;

const KEY_TYPE: &str = "bytea";

/// A key and an expiry time in the past, both derived from the number `n`.
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

/// A pool on an empty database that belongs to the running test.
async fn empty_database() -> Pool {
    let pool = another_pool().await;
    empty_schema(&pool).await;
    pool
}

/// A pool of one connection with a short time-out, on an empty database that belongs to the running
/// test.
async fn one_connection(acquire_timeout: Duration) -> Pool {
    let pool = pool(1, acquire_timeout, &schema()).await;
    empty_schema(&pool).await;
    pool
}

/// Another pool on the database of the running test.
async fn another_pool() -> Pool {
    pool(10, Duration::from_secs(30), &schema()).await
}

async fn pool(connections: u32, acquire_timeout: Duration, search_path: &str) -> Pool {
    pool_with(connections, acquire_timeout, &[("search_path", search_path)]).await
}

async fn pool_with(connections: u32, acquire_timeout: Duration, settings: &[(&str, &str)]) -> Pool {
    // Without PostgreSQL, the tests end here.
    let url = engine_url("BONDIFY_TEST_POSTGRES_URL").unwrap_or_else(|| process::exit(0));
    let options = PgConnectOptions::from_str(&url).expect("a valid URL");
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .connect_with(options.options(settings.iter().copied()))
        .await
        .expect("PostgreSQL can be reached")
}

async fn empty_schema(pool: &Pool) {
    let schema = schema();
    run(
        pool,
        format!(
            "SET client_min_messages = warning;
            DROP SCHEMA IF EXISTS {schema} CASCADE;
            CREATE SCHEMA {schema};"
        ),
    )
    .await;
}

async fn run(pool: &Pool, script: String) {
    raw_sql(AssertSqlSafe(script)).execute(pool).await.expect("the statement succeeds");
}

/// A schema with the name of the running test, which is the name of its thread.
fn schema() -> String {
    thread::current().name().expect("a test's thread").replace("::", "_")
}

mod prepared {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = PostgresStore::new(empty_database().await).timeout(cases::LONG);
        let store = store.prepared_statements();
        store.migrate().await.expect("the table can be created");
        store
    });
}

/// A role or database whose default isolation level is stricter than `READ COMMITTED`.
macro_rules! isolated_suite {
    ($name:ident, $level:literal) => {
        mod $name {
            use super::*;

            bondify_testkit::dedupe_store_suite!(async || {
                empty_database().await;
                let schema = schema();
                let settings =
                    [("search_path", &*schema), ("default_transaction_isolation", $level)];
                let pool = pool_with(10, Duration::from_secs(30), &settings).await;
                let store = PostgresStore::new(pool).timeout(cases::LONG);
                store.migrate().await.expect("the table can be created");
                store
            });
        }
    };
}

isolated_suite!(repeatable_read, "repeatable read");
isolated_suite!(serializable, "serializable");

mod suite {
    use super::*;

    bondify_testkit::dedupe_store_suite!(async || {
        let store = PostgresStore::new(empty_database().await).timeout(cases::LONG);
        store.migrate().await.expect("the table can be created");
        store
    });
}

#[tokio::test]
async fn a_table_may_be_in_a_schema() {
    let pool = empty_database().await;
    let name = format!("{}.order", schema());
    let store = PostgresStore::with_table(pool.clone(), &name).unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let claimed = store.claim(&EventKey::new("", ""), cases::LONG).await.unwrap();
    assert!(matches!(claimed, Claimed::Acquired(_)));
    assert_eq!(cases::count(&pool, &format!(r#"{}."order""#, schema())).await, 1);
}

#[tokio::test]
async fn the_engines_clock_counts() {
    empty_database().await;
    let schema = schema();
    // Replace the engine's clock with a function of the test.
    let pool = pool(1, Duration::from_secs(30), &format!("{schema},pg_catalog")).await;
    let set_clock = async |minutes: u32| {
        let clock = format!(
            "CREATE OR REPLACE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz
            LANGUAGE sql VOLATILE
            AS $$ SELECT pg_catalog.clock_timestamp() + interval '{minutes} minutes' $$"
        );
        run(&pool, clock).await;
    };
    set_clock(0).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();

    let key = EventKey::new("", "");
    let Claimed::Acquired(lost) = store.claim(&key, cases::LONG).await.unwrap() else {
        panic!("a fresh key");
    };
    set_clock(2).await;
    assert!(!store.renew(&key, &lost, cases::LONG).await.unwrap());
    assert!(!store.complete(&key, &lost, cases::LONG).await.unwrap());
    assert!(!store.release(&key, &lost).await.unwrap());
    let Claimed::Acquired(token) = store.claim(&key, cases::LONG).await.unwrap() else {
        panic!("the lease has run out");
    };
    assert!(store.complete(&key, &token, cases::LONG).await.unwrap());
    set_clock(4).await;
    assert!(matches!(store.claim(&key, cases::LONG).await.unwrap(), Claimed::Acquired(_)));
}

/// The documentation of `Inbox` says how to store a name with that character.
#[tokio::test]
async fn a_text_cannot_have_a_nul_character() {
    let pool = empty_database().await;
    let store = async |name: &str| {
        sqlx::query("SELECT $1::text").bind(name.to_owned()).execute(&pool).await
    };
    assert!(store("Ann\0").await.is_err());
    assert!(store(&"Ann\0".replace('\0', "")).await.is_ok());
}

#[tokio::test]
async fn the_check_finds_settings_that_lose_or_double_events() {
    let pool = empty_database().await;
    let schema = schema();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    assert_eq!(cases::count(&pool, "bondify_events").await, 0, "the check leaves no row");

    run(&pool, "ALTER TABLE bondify_events SET UNLOGGED".to_owned()).await;
    run(
        &pool,
        format!(
            "DROP ROLE IF EXISTS {schema}; CREATE ROLE {schema};
            GRANT USAGE ON SCHEMA {schema} TO {schema};
            GRANT SELECT, INSERT, UPDATE ON bondify_events TO {schema};
            CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                AS $$ SELECT pg_catalog.clock_timestamp() - interval '10 minutes' $$"
        ),
    )
    .await;
    let path = format!("{schema},pg_catalog");
    let settings = [("search_path", &*path), ("synchronous_commit", "off"), ("role", &schema)];
    let store = PostgresStore::new(pool_with(1, cases::LONG, &settings).await);
    let advice = store.check().await.unwrap();
    let expected = ["synchronous_commit", "LOGGED", "s behind this machine's", "DELETE rows of"];
    assert_eq!(advice.len(), expected.len(), "{advice:#?}");
    for (advice, expected) in advice.iter().zip(expected) {
        assert!(advice.contains(expected), "{advice}");
    }
    run(&pool, format!("DROP OWNED BY {schema}; DROP ROLE {schema}")).await;
}
