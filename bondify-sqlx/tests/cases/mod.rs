//! Cases for every engine. The test file that includes this module defines the engine: `Store`, `Inbox`,
//! `Pool` and the functions that make pools.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::{error::Error, iter::repeat_with, sync::Arc, time::Duration};

use bondify_core::{Claimed, DedupeStore, Event, EventKey, LeaseToken, Secret, StoreError};
use bondify_sqlx::{
    Recorded,
    sqlx::{self, AssertSqlSafe, Executor, Row, raw_sql},
};
use bondify_testkit::Payload;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::{
    CHANGES, Database, EXPIRED_ROW, EXPIRES_MILLIS, Inbox, KEY_TYPE, NOW_MILLIS, Pool, Store,
    another_pool, empty_database, one_connection, swallow,
};

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

const TABLE: &str = "bondify_events";

async fn store() -> (Pool, Store) {
    let pool = empty_database().await;
    let store = Store::new(pool.clone());
    store.migrate().await.unwrap();
    (pool, store)
}

/// An empty inbox, and a table `effects`.
async fn inbox() -> (Pool, Inbox) {
    let pool = empty_database().await;
    let inbox = Inbox::new(pool.clone());
    inbox.migrate().await.unwrap();
    run(&pool, "CREATE TABLE effects (number INTEGER)").await;
    (pool, inbox)
}

async fn acquire(store: &Store, key: &EventKey) -> LeaseToken {
    match store.claim(key, LONG).await.unwrap() {
        Claimed::Acquired(token) => token,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn event(session_token: &str) -> Event {
    let secret = Secret::new("whsec_test").unwrap();
    let delivery = Payload::confirmed().session_token(session_token).signed_with(&secret);
    delivery.verified_by(&secret).unwrap()
}

fn key() -> EventKey {
    event("sess_1").key()
}

pub(crate) async fn count(pool: &Pool, table: &str) -> i64 {
    number(pool, format!("SELECT count(*) FROM {table}")).await
}

/// Runs statements without preparing them: a pooler may run those of another client.
async fn run(executor: impl Executor<'_, Database = Database>, script: impl Into<String>) {
    raw_sql(AssertSqlSafe(script.into())).execute(executor).await.unwrap();
}

/// The number that a query returns.
async fn number(executor: impl Executor<'_, Database = Database>, query: String) -> i64 {
    raw_sql(AssertSqlSafe(query)).fetch_one(executor).await.unwrap().get(0)
}

async fn insert_expired(pool: &Pool, rows: usize) {
    let insert = format!(
        "INSERT INTO {TABLE} (\"key\", expires)
        WITH RECURSIVE numbers (n) AS (
            SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}
        )
        SELECT {EXPIRED_ROW} FROM numbers"
    );
    run(pool, insert).await;
}

/// The engine's error.
pub(crate) fn cause(error: &StoreError) -> String {
    assert_eq!(error.to_string(), "dedupe store failed");
    let source = error.source().expect("the engine's own error");
    assert!(source.is::<sqlx::Error>());
    source.to_string()
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("the condition is met in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_can_migrate_at_the_same_time() {
    empty_database().await.close().await;
    let pools = join_all(repeat_with(another_pool).take(10)).await;
    for _ in 0..2 {
        let mut migrations = JoinSet::new();
        for pool in pools.clone() {
            migrations.spawn(async move { Store::new(pool).migrate().await });
        }
        for migrated in migrations.join_all().await {
            migrated.unwrap();
        }
    }
    assert_eq!(count(&pools[0], TABLE).await, 0);
}

#[tokio::test]
async fn an_invalid_table_name_is_refused() {
    let pool = empty_database().await;
    for name in ["", "my events", "events; DROP TABLE users", "events\"", "2events", "a.b.c"] {
        assert!(Store::with_table(pool.clone(), name).is_err(), "{name}");
        assert!(Inbox::with_table(pool.clone(), name).is_err(), "{name}");
    }
}

#[tokio::test]
async fn stores_in_different_tables_are_independent() {
    let (pool, store) = store().await;
    let keyword = "select";
    let other = Store::with_table(pool.clone(), keyword).unwrap();
    other.migrate().await.unwrap();

    let token = acquire(&store, &key()).await;
    let other_token = acquire(&other, &key()).await;
    assert!(store.complete(&key(), &token, LONG).await.unwrap());
    assert!(!other.complete(&key(), &token, LONG).await.unwrap());
    assert!(other.release(&key(), &other_token).await.unwrap());
    assert_eq!(store.claim(&key(), LONG).await.unwrap(), Claimed::Completed);
    assert_eq!((count(&pool, TABLE).await, count(&pool, "\"select\"").await), (1, 0));
}

#[tokio::test]
async fn purge_deletes_expired_rows_only() {
    let (pool, store) = store().await;
    let completed = EventKey::new("completed", "");
    let token = acquire(&store, &completed).await;
    assert!(store.complete(&completed, &token, LONG).await.unwrap());
    let held = EventKey::new("held", "");
    let token = acquire(&store, &held).await;
    insert_expired(&pool, 250).await;

    assert_eq!(store.purge().await.unwrap(), 250);
    assert_eq!(store.purge().await.unwrap(), 0);
    assert_eq!(count(&pool, TABLE).await, 2);
    assert_eq!(store.claim(&completed, LONG).await.unwrap(), Claimed::Completed);
    assert!(store.complete(&held, &token, LONG).await.unwrap());
}

#[tokio::test]
async fn purge_deletes_in_batches() {
    let (pool, store) = store().await;
    insert_expired(&pool, 250).await;
    // The last row cannot be deleted, so only its own batch fails.
    let guard =
        format!(r#"CREATE TABLE guard ("key" {KEY_TYPE} REFERENCES bondify_events ("key"))"#);
    run(&pool, guard).await;
    let last =
        r#"INSERT INTO guard SELECT "key" FROM bondify_events ORDER BY expires DESC LIMIT 1"#;
    run(&pool, last).await;
    store.purge().await.unwrap_err();
    assert_eq!(count(&pool, TABLE).await, 50);
}

#[tokio::test]
async fn the_background_purge_ends_with_the_last_clone() {
    let (pool, store) = store().await;
    let store = store.purge_every(Duration::from_millis(10));
    insert_expired(&pool, 10).await;
    until(async || count(&pool, TABLE).await == 0).await;

    let clone = store.clone();
    drop(store);
    insert_expired(&pool, 10).await;
    until(async || count(&pool, TABLE).await == 0).await;

    drop(clone);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The last purge, which may be running, has ended.
    until(async || pool.num_idle() == pool.size() as usize).await;
    insert_expired(&pool, 10).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&pool, TABLE).await, 10);
}

#[tokio::test]
async fn the_background_purge_survives_an_error() {
    let pool = empty_database().await;
    let store = Store::new(pool.clone()).purge_every(Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.migrate().await.unwrap();
    insert_expired(&pool, 10).await;
    until(async || count(&pool, TABLE).await == 0).await;
}

#[tokio::test]
async fn a_missing_table_is_an_error() {
    let store = Store::new(empty_database().await);
    let token = LeaseToken::new(1);
    for error in [
        store.claim(&key(), LONG).await.unwrap_err(),
        store.renew(&key(), &token, LONG).await.unwrap_err(),
        store.complete(&key(), &token, LONG).await.unwrap_err(),
        store.release(&key(), &token).await.unwrap_err(),
    ] {
        let cause = cause(&error);
        assert!(cause.contains("bondify_events"), "{cause}");
    }
    store.migrate().await.unwrap();
    acquire(&store, &key()).await;
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_and_works_again() {
    let pool = one_connection(Duration::from_millis(200)).await;
    let store = Store::new(pool.clone());
    store.migrate().await.unwrap();

    let taken = pool.acquire().await.unwrap();
    let key = key();
    let claim = tokio::time::timeout(LONG / 2, store.claim(&key, LONG));
    let cause = cause(&claim.await.expect("an answer in time").unwrap_err());
    assert!(cause.contains("timed out"), "{cause}");

    drop(taken);
    // The connection returns to the pool in the background.
    until(async || store.claim(&key, LONG).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_begins_after_the_wait_for_a_lock() {
    let (pool, store) = store().await;
    store.claim(&key(), Duration::from_millis(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;

    let mut lock = pool.begin().await.unwrap();
    let touch = "UPDATE bondify_events SET expires = expires";
    run(&mut *lock, touch).await;
    let claim = tokio::spawn({
        let store = store.clone();
        async move { acquire(&store, &key()).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waited_until = number(&mut *lock, format!("SELECT {NOW_MILLIS}")).await;
    lock.commit().await.unwrap();

    claim.await.unwrap();
    let expires = number(&pool, format!("SELECT {EXPIRES_MILLIS} FROM {TABLE}")).await;
    assert!(expires >= waited_until + 60_000, "{expires} {waited_until}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_do_not_fail() {
    let (_pool, store) = store().await;
    let store = store.timeout(LONG);
    let mut claims = JoinSet::new();
    for n in 0..500 {
        let store = store.clone();
        claims.spawn(async move {
            let key = EventKey::new("many", format!("{}", n % 100));
            matches!(store.claim(&key, LONG).await.unwrap(), Claimed::Acquired(_))
        });
    }
    let acquired = claims.join_all().await.into_iter().filter(|&acquired| acquired).count();
    assert_eq!(acquired, 100);
}

#[tokio::test]
async fn an_event_is_new_once() {
    let (pool, inbox) = inbox().await;
    let mut transaction = pool.begin().await.unwrap();
    let first = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
    let again = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((first, again), (Recorded::New, Recorded::Duplicate));

    let mut transaction = pool.begin().await.unwrap();
    let later = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
    let other = inbox.record(&mut transaction, &event("sess_2")).await.unwrap();
    let elsewhere = inbox.clone().namespace("shop");
    let elsewhere = elsewhere.record(&mut transaction, &event("sess_1")).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((later, other, elsewhere), (Recorded::Duplicate, Recorded::New, Recorded::New),);
}

/// A connection that is in a transaction, as other libraries hold it.
#[tokio::test]
async fn an_event_can_be_recorded_on_a_connection() {
    let (pool, inbox) = inbox().await;
    let mut connection = pool.acquire().await.unwrap();
    for (end, expected) in
        [("ROLLBACK", Recorded::New), ("COMMIT", Recorded::New), ("ROLLBACK", Recorded::Duplicate)]
    {
        run(&mut *connection, "BEGIN").await;
        assert_eq!(inbox.record(&mut connection, &event("sess_1")).await.unwrap(), expected);
        run(&mut *connection, end).await;
    }
    let driver: &mut <Database as sqlx::Database>::Connection = &mut connection;
    assert_eq!(inbox.record(driver, &event("sess_1")).await.unwrap(), Recorded::Duplicate);
}

#[tokio::test]
async fn a_transaction_that_does_not_commit_leaves_no_trace() {
    let (pool, inbox) = inbox().await;
    let mut rolled_back = pool.begin().await.unwrap();
    let recorded = inbox.record(&mut rolled_back, &event("sess_1")).await.unwrap();
    assert_eq!(recorded, Recorded::New);
    rolled_back.rollback().await.unwrap();
    assert_eq!(count(&pool, TABLE).await, 0);

    let mut dropped = pool.begin().await.unwrap();
    let recorded = inbox.record(&mut dropped, &event("sess_1")).await.unwrap();
    assert_eq!(recorded, Recorded::New);
    drop(dropped);

    let mut crashed = another_pool().await.begin().await.unwrap();
    let recorded = inbox.record(&mut crashed, &event("sess_1")).await.unwrap();
    assert_eq!(recorded, Recorded::New);
    // Without a rollback, as if the process died.
    drop(crashed);

    let mut transaction = pool.begin().await.unwrap();
    let recorded = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
    assert_eq!(recorded, Recorded::New);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_take_effect_once() {
    let (pool, inbox) = inbox().await;
    for round in 0..10 {
        let event = Arc::new(event(&format!("sess_{round}")));
        let mut handlers = JoinSet::new();
        for _ in 0..20 {
            let (pool, inbox, event) = (pool.clone(), inbox.clone(), event.clone());
            handlers.spawn(async move {
                let mut transaction = pool.begin().await.unwrap();
                let recorded = inbox.record(&mut transaction, &event).await.unwrap();
                if recorded == Recorded::New {
                    run(&mut *transaction, "INSERT INTO effects VALUES (1)").await;
                    transaction.commit().await.unwrap();
                }
                recorded
            });
        }
        let recorded = handlers.join_all().await;
        assert_eq!(recorded.iter().filter(|&&recorded| recorded == Recorded::New).count(), 1);
    }
    assert_eq!(count(&pool, "effects").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_waits_for_the_transaction_before_it() {
    let (pool, inbox) = inbox().await;
    for commits in [false, true] {
        let mut first = pool.begin().await.unwrap();
        let recorded = inbox.record(&mut first, &event("sess_1")).await.unwrap();
        assert_eq!(recorded, Recorded::New);

        let second = tokio::spawn({
            let (pool, inbox) = (pool.clone(), inbox.clone());
            async move {
                let mut second = pool.begin().await.unwrap();
                inbox.record(&mut second, &event("sess_1")).await.unwrap()
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!second.is_finished());
        if commits {
            first.commit().await.unwrap();
            assert_eq!(second.await.unwrap(), Recorded::Duplicate);
        } else {
            first.rollback().await.unwrap();
            assert_eq!(second.await.unwrap(), Recorded::New);
        }
    }
}

#[tokio::test]
async fn a_record_is_kept_for_its_retention() {
    let (pool, inbox) = inbox().await;
    let least = Inbox::LEAST_RETENTION;
    let retention_of = async |inbox: &Inbox, session_token| {
        let mut transaction = pool.begin().await.unwrap();
        let recorded = inbox.record(&mut transaction, &event(session_token)).await.unwrap();
        assert_eq!(recorded, Recorded::New);
        transaction.commit().await.unwrap();
        let left = format!("SELECT max({EXPIRES_MILLIS} - {NOW_MILLIS}) FROM {TABLE}");
        let left = number(&pool, left).await;
        Duration::from_millis(left.try_into().unwrap())
    };
    let about = |expected| expected - LONG..=expected + Duration::from_millis(1);

    assert_eq!(least, Duration::from_secs(24 * 60 * 60 + 5 * 60));
    assert!(about(least).contains(&retention_of(&inbox, "sess_1").await));
    let short = inbox.clone().retention(LONG);
    assert!(about(least).contains(&retention_of(&short, "sess_2").await));
    let long = inbox.clone().retention(2 * least);
    assert!(about(2 * least).contains(&retention_of(&long, "sess_3").await));
    assert_eq!(inbox.purge().await.unwrap(), 0);
}

#[tokio::test]
async fn the_inbox_and_the_store_share_a_table() {
    let (pool, inbox) = inbox().await;
    let store = Store::new(pool.clone());
    let recorded = async || {
        let mut transaction = pool.begin().await.unwrap();
        let recorded = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
        transaction.commit().await.unwrap();
        recorded
    };

    // A lease is no duplicate, because its holder may have crashed.
    let token = acquire(&store, &key()).await;
    assert_eq!(recorded().await, Recorded::New);
    assert!(!store.complete(&key(), &token, LONG).await.unwrap());
    assert!(!store.release(&key(), &token).await.unwrap());
    assert_eq!(store.claim(&key(), LONG).await.unwrap(), Claimed::Completed);
    assert_eq!(recorded().await, Recorded::Duplicate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_sees_what_was_committed_while_it_waited() {
    let (pool, inbox) = inbox().await;
    let store = Store::new(pool.clone());
    let mut transaction = pool.begin().await.unwrap();
    let recorded = inbox.record(&mut transaction, &event("sess_1")).await.unwrap();
    assert_eq!(recorded, Recorded::New);

    let claim = tokio::spawn(async move { store.claim(&key(), LONG).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    transaction.commit().await.unwrap();
    assert_eq!(claim.await.unwrap(), Claimed::Completed);
}

/// Records an event in a transaction of its own.
async fn recorded(pool: &Pool, inbox: &Inbox, event: &Event) -> Result<Recorded, sqlx::Error> {
    let mut transaction = pool.begin().await.unwrap();
    let recorded = inbox.record(&mut transaction, event).await;
    transaction.commit().await.unwrap();
    recorded
}

/// Triggers and columns of other programs, such as an audit or an online change of the schema.
#[tokio::test]
async fn a_table_that_others_have_changed_has_the_same_outcomes() {
    for &change in CHANGES {
        let (pool, inbox) = inbox().await;
        run(&pool, change).await;
        let store = Store::new(pool.clone());

        let first = acquire(&store, &key()).await;
        assert_eq!(store.claim(&key(), LONG).await.unwrap(), Claimed::InFlight, "{change}");
        assert!(store.renew(&key(), &first, LONG).await.unwrap(), "{change}");
        assert!(store.release(&key(), &first).await.unwrap(), "{change}");
        assert!(!store.release(&key(), &first).await.unwrap(), "{change}");
        let second = acquire(&store, &key()).await;
        assert!(!store.renew(&key(), &first, LONG).await.unwrap(), "{change}");
        assert!(!store.complete(&key(), &first, LONG).await.unwrap(), "{change}");
        assert!(store.complete(&key(), &second, LONG).await.unwrap(), "{change}");
        assert_eq!(store.claim(&key(), LONG).await.unwrap(), Claimed::Completed, "{change}");
        assert!(!store.complete(&key(), &second, LONG).await.unwrap(), "{change}");

        let recorded = async |session| recorded(&pool, &inbox, &event(session)).await.unwrap();
        assert_eq!(recorded("sess_1").await, Recorded::Duplicate, "{change}");
        assert_eq!(recorded("sess_2").await, Recorded::New, "{change}");
        assert_eq!(recorded("sess_2").await, Recorded::Duplicate, "{change}");
        let recorded_key = event("sess_2").key();
        assert_eq!(store.claim(&recorded_key, LONG).await.unwrap(), Claimed::Completed, "{change}");
        acquire(&store, &event("sess_3").key()).await;
        assert_eq!(recorded("sess_3").await, Recorded::New, "{change}");

        insert_expired(&pool, 250).await;
        assert_eq!(store.purge().await.unwrap(), 250, "{change}");
    }
}

/// A trigger can make a write do nothing.
#[tokio::test]
async fn a_swallowed_write_is_an_error_and_no_outcome() {
    for operation in ["INSERT", "UPDATE", "DELETE"] {
        let Some(swallow) = swallow(operation) else { continue };
        let (pool, inbox) = inbox().await;
        let store = Store::new(pool.clone());
        let token = acquire(&store, &key()).await;
        run(&pool, swallow).await;

        let failed = match operation {
            "INSERT" => store.claim(&event("sess_2").key(), LONG).await.unwrap_err(),
            "UPDATE" => store.complete(&key(), &token, LONG).await.unwrap_err(),
            _ => store.release(&key(), &token).await.unwrap_err(),
        };
        let source = failed.source().unwrap().to_string();
        assert!(source.contains("check the table for triggers"), "{source}");
        // A lease is still a lease for its holder.
        let answer = store.claim(&key(), LONG).await;
        assert!(matches!(answer, Ok(Claimed::InFlight) | Err(_)), "{operation}: {answer:?}");
        let answer = match operation {
            "INSERT" => recorded(&pool, &inbox, &event("sess_2")).await,
            "UPDATE" => recorded(&pool, &inbox, &event("sess_1")).await,
            _ => continue,
        };
        assert!(matches!(answer, Err(sqlx::Error::Protocol(_))), "{operation}: {answer:?}");
    }
}

/// Concurrent transactions of different events do not block each other.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_records_do_not_fail() {
    let (pool, inbox) = inbox().await;
    let mut handlers = JoinSet::new();
    for handler in 0..8 {
        let (pool, inbox) = (pool.clone(), inbox.clone());
        handlers.spawn(async move {
            let mut failures = Vec::new();
            for n in 0..100 {
                let event = event(&format!("sess_{handler}_{n}"));
                let handled = async {
                    let mut transaction = pool.begin().await?;
                    let recorded = inbox.record(&mut transaction, &event).await?;
                    assert_eq!(recorded, Recorded::New);
                    raw_sql("INSERT INTO effects VALUES (1)").execute(&mut *transaction).await?;
                    transaction.commit().await
                };
                failures.extend(handled.await.err().map(|error| error.to_string()));
            }
            failures
        });
    }
    let failures = handlers.join_all().await.concat();
    assert!(failures.is_empty(), "{} of 800: {}", failures.len(), failures[0]);
}
