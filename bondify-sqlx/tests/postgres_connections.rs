//! The store on connections that break, become silent, or lead to a read-only server. Each test has its
//! own table on the PostgreSQL at `BONDIFY_TEST_POSTGRES_URL`.

use std::{
    collections::HashSet,
    error::Error,
    str::FromStr,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, Secret};
use bondify_sqlx::{
    PostgresInbox, PostgresStore, Recorded,
    sqlx::{
        PgPool, Row,
        postgres::{PgConnectOptions, PgPoolOptions},
        raw_sql,
    },
};
use bondify_testkit::{Payload, within_a_minute};
use futures_util::future::join_all;
use test_engines::Engine;
use tokio::task::block_in_place;

use self::connections::{IN_TIME, LONG, Rig, TIMEOUT, acquired, key, number, run};

#[path = "cases/connections.rs"]
mod connections;

/// The words of PostgreSQL.
mod engine {
    pub(crate) use bondify_sqlx::{
        PostgresStore as Store,
        sqlx::{
            PgPool as Pool, Postgres as Database,
            postgres::{PgConnectOptions as ConnectOptions, PgPoolOptions as PoolOptions},
        },
    };

    use super::number;

    pub(crate) type Session = i32;

    pub(crate) const URL: &str = "BONDIFY_TEST_POSTGRES_URL";
    pub(crate) const SESSION: &str = "SELECT pg_backend_pid()";
    pub(crate) const READ_ONLY: &str = "SET default_transaction_read_only = on";
    pub(crate) const UNLOCK: &str = "ROLLBACK";

    pub(crate) fn lock(table: &str) -> String {
        format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    }

    /// A query for the number of sessions that wait for the table.
    pub(crate) fn waiting(table: &str) -> String {
        format!(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
        )
    }

    /// Returns `true` if a statement that its client gave up no longer waits for a lock.
    pub(crate) async fn ends_waits(_: &Pool) -> bool {
        true
    }

    pub(crate) async fn terminate(pool: &Pool, session: Session) {
        number(pool, format!("SELECT pg_terminate_backend({session}, 10000)::int::int8")).await;
    }
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
        // Commits hang once the checkpointer has read the setting too, which no query shows.
        for n in 0.. {
            if own.store.claim(&key(&format!("soon {n}")), LONG).await.is_err() {
                break;
            }
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
