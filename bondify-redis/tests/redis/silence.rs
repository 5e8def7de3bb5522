//! Connections that stay open and give no answer.

use test_engines::Proxy;

use super::*;
use crate::engine::{proxy, url_of};

test_engines::network_store_suite!(async || {
    let server = Engine::redis()?;
    let proxy = proxy(&server).await;
    let store = open(url_of(&proxy)).timeout(Duration::from_secs(1));
    Some((store, proxy, server))
});

#[tokio::test]
async fn only_one_call_waits_for_a_silent_connection_and_for_half_of_the_time_out() {
    const TIMEOUT: Duration = Duration::from_secs(4);

    let Some(server) = Engine::redis() else { return };
    let proxy: Proxy = proxy(&server).await;
    let store = open(url_of(&proxy)).timeout(TIMEOUT);
    let token = acquire(&store, key("held")).await;
    proxy.go_deaf();

    let start = Instant::now();
    assert!(store.renew(&key("held"), &token, LEASE).await.unwrap());
    println!("the first call was answered after {:?}", start.elapsed());
    let start = Instant::now();
    each_call(&store, key("afterwards")).await;
    println!("the next five calls were answered after {:?}", start.elapsed());
    assert!(start.elapsed() < TIMEOUT / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_claim_that_timed_out_is_released() {
    let Some(server) = Engine::redis() else { return };
    let wire = Wire::new(connect(server.url()).await);
    let store = RedisStore::new(wire.clone()).timeout(Duration::from_secs(1));
    settle(&store, key("the rights are checked")).await;

    wire.lost.store(2, SeqCst); // of both attempts
    let longer_than_the_test = RETENTION;
    assert_timed_out(store.claim(&key("given up"), longer_than_the_test).await);
    within_a_minute(async {
        while store.claim(&key("given up"), LEASE).await.unwrap() == Claimed::InFlight {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_claim_whose_first_answer_was_lost_is_acquired() {
    let Some(server) = Engine::redis() else { return };
    let wire = Wire::new(connect(server.url()).await);
    let store = RedisStore::new(wire.clone()).timeout(Duration::from_secs(1));
    settle(&store, key("the rights are checked")).await;

    wire.lost.store(1, SeqCst);
    let token = acquire(&store, key("lost")).await;
    assert!(store.complete(&key("lost"), &token, RETENTION).await.unwrap());
}
