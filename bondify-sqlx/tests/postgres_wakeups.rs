//! Wake-ups between instances, on the PostgreSQL at `BONDIFY_TEST_POSTGRES_URL`. Each test has its own channel.

use std::{process, sync::Arc, thread, time::Duration};

use bondify_core::{EventKey, Wakeups};
use bondify_sqlx::{
    PgWakeups,
    sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql},
};
use bondify_testkit::{engine_url, within_a_minute};
use futures_util::{StreamExt, future::poll_immediate, stream::BoxStream};
use test_engines::{Proxy, Upstream};
use tokio::time::timeout;

/// Without PostgreSQL, the tests end here.
fn url() -> String {
    engine_url("BONDIFY_TEST_POSTGRES_URL").unwrap_or_else(|| process::exit(0))
}

async fn wakeups(url: &str) -> PgWakeups {
    let test = thread::current().name().expect("a test's thread").to_owned();
    let test: String = test.chars().take(63).collect();
    PgWakeups::connect(url).await.expect("PostgreSQL can be reached").channel(test)
}

fn listen(wakeups: PgWakeups) -> BoxStream<'static, EventKey> {
    (Arc::new(wakeups) as Arc<dyn Wakeups>).listen()
}

fn key(session: &str) -> EventKey {
    EventKey::new("login", session)
}

/// Wakes until the listener hears it, since wake-ups are lost while it is not subscribed.
async fn reaches(wakeups: &impl Wakeups, woken: &mut BoxStream<'static, EventKey>, name: &str) {
    within_a_minute(async {
        loop {
            let _not_while_it_connects = wakeups.wake(&key(name)).await;
            let heard = timeout(Duration::from_millis(50), woken.next()).await;
            if heard.is_ok_and(|heard| heard == Some(key(name))) {
                return;
            }
        }
    })
    .await;
}

/// Runs a query that returns a number.
async fn number(admin: &mut PgConnection, query: String) -> i64 {
    let row = raw_sql(AssertSqlSafe(query)).fetch_one(admin).await;
    row.expect("PostgreSQL answers").get(0)
}

/// The sessions whose last query contains the text, and the name of the running test.
fn sessions(query: &str, select: &str) -> String {
    let test = thread::current().name().expect("a test's thread").to_owned();
    format!(
        "SELECT {select} FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE '{query}%{test}%'"
    )
}

#[tokio::test]
async fn an_instance_wakes_another_on_the_same_channel() {
    let mut admin = PgConnection::connect(&url()).await.expect("PostgreSQL can be reached");
    let (one, other) = (wakeups(&url()).await, wakeups(&url()).await);
    let mut woken = listen(other);
    reaches(&one, &mut woken, "subscribed").await;
    let listening = || sessions("LISTEN", "count(*)");
    assert_eq!(number(&mut admin, listening()).await, 1);

    one.clone().channel("another").wake(&key("of another service")).await.unwrap();
    let test = thread::current().name().unwrap().to_owned();
    raw_sql(AssertSqlSafe(format!("NOTIFY {test}, 'text'"))).execute(&mut admin).await.unwrap();
    one.wake(&key("the next")).await.unwrap();
    let next = loop {
        match woken.next().await {
            Some(subscribed) if subscribed == key("subscribed") => {}
            next => break next,
        }
    };
    assert_eq!(next, Some(key("the next")));

    drop(woken);
    within_a_minute(async { while number(&mut admin, listening()).await > 0 {} }).await;
}

#[tokio::test]
async fn terminated_connections_are_replaced() {
    let mut admin = PgConnection::connect(&url()).await.expect("PostgreSQL can be reached");
    let one = wakeups(&url()).await;
    let mut woken = listen(one.clone());
    reaches(&one, &mut woken, "subscribed").await;
    let terminated = sessions("LISTEN", "count(pg_terminate_backend(pid))");
    assert_eq!(number(&mut admin, terminated).await, 1);
    reaches(&one, &mut woken, "after the end of the listener").await;
}

/// A NAT has forgotten the connections. Nobody has closed them.
#[tokio::test]
async fn silent_connections_are_replaced() {
    let direct = url();
    let (start, rest) = direct.split_once('@').expect("a user");
    let (address, database) = rest.split_once('/').expect("a database");
    let engine = Upstream::Tcp(address.parse().expect("a valid address"));
    let proxy = Proxy::start(engine).await.expect("there is a free port");
    let one = wakeups(&format!("{start}@{}/{database}", proxy.address())).await;
    let mut woken = listen(one.clone());
    reaches(&one, &mut woken, "subscribed").await;
    proxy.go_deaf();
    one.wake(&key("on a new connection")).await.unwrap();
    reaches(&one, &mut woken, "after the silence").await;
    proxy.cut();
    one.wake(&key("on another new connection")).await.unwrap();
    reaches(&one, &mut woken, "after the cut").await;
}

#[tokio::test]
async fn a_call_that_is_not_polled_does_not_stop_the_others() {
    let one = wakeups(&url()).await;
    let key = key("of a task that waits for another call");
    let mut first = one.wake(&key);
    assert!(poll_immediate(&mut first).await.is_none(), "it waits for PostgreSQL");
    within_a_minute(one.wake(&key)).await.expect_err("the connection is in use");
    first.await.unwrap();
    one.wake(&key).await.unwrap();
}

#[tokio::test]
async fn debug_shows_the_channel_only() {
    let wakeups = wakeups(&url().replace("postgres@", "postgres:hush@")).await.channel("shop");
    assert_eq!(format!("{wakeups:?}"), r#"PgWakeups { channel: "shop", .. }"#);
    let refused = PgWakeups::connect("postgres://postgres:hush@127.0.0.1:1/shop").await;
    let refused = refused.expect_err("nobody listens");
    assert!(!format!("{refused:?} {refused}").contains("hush"), "{refused:?}");
}
