//! An event takes effect once, and the inbox of sqlx detects an event that a recipe has recorded.

use std::time::Duration;

use bondify_core::{Claimed, DedupeStore, Event, Secret};
use bondify_sqlx::{
    PostgresInbox, PostgresStore, Recorded, SqliteInbox, SqliteStore,
    sqlx::{self, AssertSqlSafe, PgPool, SqlitePool},
};
use bondify_testkit::{Payload, engine_url};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use recipe_tests::{
    diesel as with_diesel, diesel_async as with_diesel_async, sea_orm as with_sea_orm,
};
use sea_orm::TransactionTrait;
use tokio::task::{JoinSet, spawn_blocking};

const COPIES: usize = 8;
const LEASE: Duration = Duration::from_secs(60);
/// A table without a key, so that a repeated effect is visible.
const USERS: &str = "CREATE TABLE users (telegram_id TEXT NOT NULL)";
const COUNT: &str = "SELECT count(*) FROM users";

#[tokio::test]
async fn sea_orm() {
    let Some((url, pool)) = postgres().await else { return };
    let inbox = PostgresInbox::new(pool.clone());
    let database = sea_orm::Database::connect(&url).await.expect("it is up");
    let event = event();

    let copies = (0..COPIES).map(|_| {
        let (database, event) = (database.clone(), event.clone());
        async move { with_sea_orm::on_event(&database, &event).await.expect("it is up") }
    });
    copies.collect::<JoinSet<_>>().join_all().await;
    assert_takes_effect_once(&pool, &inbox, &event).await;

    let transaction = database.begin().await.expect("it is up");
    let leased = leased(&PostgresStore::new(pool.clone())).await;
    let recorded = with_sea_orm::record(&transaction, &leased).await;
    assert_eq!(recorded.expect("it is up"), Recorded::New, "a lease is not a duplicate");
}

#[tokio::test]
async fn diesel_async() {
    let Some((url, pool)) = postgres().await else { return };
    let inbox = PostgresInbox::new(pool.clone());
    let event = event();

    let copies = (0..COPIES).map(|_| {
        let (url, event) = (url.clone(), event.clone());
        async move {
            let connection = AsyncPgConnection::establish(&url).await;
            let mut connection = connection.expect("it is up");
            with_diesel_async::on_event(&mut connection, &event).await.expect("it is up");
        }
    });
    copies.collect::<JoinSet<_>>().join_all().await;
    assert_takes_effect_once(&pool, &inbox, &event).await;

    let mut connection = AsyncPgConnection::establish(&url).await.expect("it is up");
    let leased = leased(&PostgresStore::new(pool.clone())).await;
    let recorded = with_diesel_async::record(&mut connection, &leased).await;
    assert_eq!(recorded.expect("it is up"), Recorded::New, "a lease is not a duplicate");
}

#[tokio::test]
async fn diesel() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("shop.db");
    let pool = SqlitePool::connect_with(SqliteStore::options(&path)).await.expect("a file");
    let inbox = SqliteInbox::new(pool.clone());
    inbox.migrate().await.expect("it is new");
    sqlx::query(USERS).execute(&pool).await.expect("it is new");
    let event = event();
    let open = move || {
        let connection = SqliteConnection::establish(&path.display().to_string());
        let mut connection = connection.expect("it is there");
        connection.batch_execute("PRAGMA busy_timeout = 5000").expect("it is set");
        connection
    };

    let copies = (0..COPIES).map(|_| {
        let (open, event) = (open.clone(), event.clone());
        spawn_blocking(move || with_diesel::on_event(&mut open(), &event).expect("it is written"))
    });
    for copy in copies.collect::<Vec<_>>() {
        copy.await.expect("it does not panic");
    }
    let users: i64 = sqlx::query_scalar(COUNT).fetch_one(&pool).await.expect("it is there");
    assert_eq!(users, 1);
    let mut transaction = pool.begin().await.expect("it is there");
    let recorded = inbox.record(&mut transaction, &event).await.expect("it is there");
    assert_eq!(recorded, Recorded::Duplicate);
    drop(transaction);
    assert_eq!(inbox.purge().await.expect("it is there"), 0, "the record is kept");

    let leased = leased(&SqliteStore::new(pool)).await;
    let recorded = with_diesel::record(&mut open(), &leased).expect("it is written");
    assert_eq!(recorded, Recorded::New, "a lease is not a duplicate");
}

async fn assert_takes_effect_once(pool: &PgPool, inbox: &PostgresInbox, event: &Event) {
    let users: i64 = sqlx::query_scalar(COUNT).fetch_one(pool).await.expect("it is up");
    assert_eq!(users, 1);
    let mut transaction = pool.begin().await.expect("it is up");
    let recorded = inbox.record(&mut transaction, event).await.expect("it is up");
    assert_eq!(recorded, Recorded::Duplicate);
    transaction.rollback().await.expect("it is up");
    assert_eq!(inbox.purge().await.expect("it is up"), 0, "the record is kept");
}

/// An event that is in flight, claimed in the store of the same table.
async fn leased(store: &impl DedupeStore) -> Event {
    let event = event();
    let claimed = store.claim(&event.key(), LEASE).await.expect("it is up");
    assert!(matches!(claimed, Claimed::Acquired(_)));
    event
}

fn event() -> Event {
    let token = format!("sess_{:016x}", fastrand::u64(..));
    let secret = Secret::new("whsec_test").expect("it is one");
    let request = Payload::confirmed().session_token(token).signed_with(&secret);
    request.verified_by(&secret).expect("it is signed")
}

/// A new database with the tables.
async fn postgres() -> Option<(String, PgPool)> {
    let url = engine_url("BONDIFY_TEST_POSTGRES_URL")?;
    let (server, _) = url.rsplit_once('/').expect("the URL names a database");
    let name = format!("recipes_{:016x}", fastrand::u64(..));
    let pool = PgPool::connect(&url).await.expect("it is up");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&pool).await.expect("the name is new");
    let url = format!("{server}/{name}");
    let pool = PgPool::connect(&url).await.expect("it was created");
    PostgresInbox::new(pool.clone()).migrate().await.expect("it is new");
    sqlx::query(USERS).execute(&pool).await.expect("it is new");
    Some((url, pool))
}
