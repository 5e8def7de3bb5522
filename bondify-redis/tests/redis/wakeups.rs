//! Wake-ups between instances.

use bondify_core::Wakeups;
use bondify_redis::{RedisWakeups, redis::Client};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::timeout;

use super::*;
use crate::engine::{proxy, url_of};

fn wakeups(url: &str) -> RedisWakeups {
    RedisWakeups::open(Client::open(url).expect("a Redis URL"))
}

fn listen(wakeups: impl Wakeups) -> BoxStream<'static, EventKey> {
    (Arc::new(wakeups) as Arc<dyn Wakeups>).listen()
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

/// Waits until Redis has this number of connections that are subscribed.
async fn until_subscribed(admin: &ConnectionManager, number: usize) {
    within_a_minute(async {
        while tell::<String>(admin, "CLIENT LIST TYPE pubsub").await.lines().count() != number {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_instance_wakes_another_with_the_same_prefix() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let one = wakeups(server.url());
    let mut woken = listen(wakeups(server.url()));
    reaches(&one, &mut woken, "subscribed").await;

    wakeups(server.url()).prefix("shop:").wake(&key("of another service")).await.unwrap();
    let () = tell(&admin, "PUBLISH bondify:wakeups text").await;
    one.wake(&key("the next")).await.unwrap();
    let next = loop {
        match woken.next().await {
            Some(subscribed) if subscribed == key("subscribed") => {}
            next => break next,
        }
    };
    assert_eq!(next, Some(key("the next")));

    until_subscribed(&admin, 1).await;
    drop(woken);
    until_subscribed(&admin, 0).await;
}

#[tokio::test]
async fn a_killed_subscription_is_replaced() {
    let Some(mut server) = Engine::redis() else { return };
    let (one, mut woken) = (wakeups(server.url()), listen(wakeups(server.url())));
    reaches(&one, &mut woken, "subscribed").await;
    let admin = connect(server.url()).await;
    let killed: usize = tell(&admin, "CLIENT KILL TYPE pubsub").await;
    assert_eq!(killed, 1);
    reaches(&one, &mut woken, "after the kill").await;

    server.stop(Stop::Crash);
    assert!(one.wake(&key("while it is down")).await.is_err());
    server.start_again();
    reaches(&one, &mut woken, "after the restart").await;
}

/// A NAT has forgotten the connections. Nobody has closed them.
#[tokio::test]
async fn a_silent_subscription_is_replaced() {
    let Some(server) = Engine::redis() else { return };
    let proxy = proxy(&server).await;
    let (one, mut woken) = (wakeups(server.url()), listen(wakeups(&url_of(&proxy))));
    reaches(&one, &mut woken, "subscribed").await;
    proxy.go_deaf();
    reaches(&one, &mut woken, "after the silence").await;
}

#[cfg(feature = "sentinel")]
mod behind_a_sentinel {
    use test_engines::RedisPair;
    use tokio::task::block_in_place;

    use super::*;
    use crate::failovers::narrow_client;

    /// A failover, with the rights that the documentation demands.
    async fn wake_ups_survive(fail_over: impl FnOnce(&mut RedisPair)) {
        let Some(mut pair) = RedisPair::start() else { return };
        let Some(sentinel) = pair.sentinel("shop") else { return };
        let rights = "&bondify:wakeups +publish +subscribe +role";
        let client = async || RedisWakeups::open(narrow_client(&pair, &sentinel, rights).await);
        let (one, mut woken) = (client().await, listen(client().await));
        reaches(&one, &mut woken, "subscribed").await;
        block_in_place(|| fail_over(&mut pair));
        reaches(&one, &mut woken, "after the failover").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn wake_ups_survive_the_crash_of_the_primary() {
        wake_ups_survive(|pair| {
            pair.primary.stop(Stop::Crash);
            pair.until_promoted();
        })
        .await;
    }

    /// A replica takes wake-ups, and the primary does not hear them.
    #[tokio::test(flavor = "multi_thread")]
    async fn wake_ups_survive_a_primary_that_comes_back_as_a_replica() {
        wake_ups_survive(|pair| {
            pair.primary.freeze();
            pair.until_promoted();
            pair.primary.thaw();
            pair.until_demoted();
        })
        .await;
    }
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_node_of_a_cluster_wakes_the_others() {
    use bondify_redis::redis::{ProtocolVersion, cluster::ClusterClient};

    let Some(urls) = engine_url("BONDIFY_TEST_REDIS_CLUSTER_URLS") else { return };
    let prefix = format!("test-{}:", std::process::id());
    let client = |protocol| {
        let client = ClusterClient::builder(urls.split(',')).response_timeout(PATIENT);
        let client = client.use_protocol(protocol).build().expect("Redis URLs");
        RedisWakeups::open(client).timeout(PATIENT).prefix(&prefix)
    };
    let mut woken = listen(client(ProtocolVersion::RESP3));
    reaches(&client(ProtocolVersion::RESP2), &mut woken, "by the cluster").await;
    for node in urls.split(',') {
        let wakeups = wakeups(node).prefix(&prefix);
        reaches(&wakeups, &mut woken, node).await;
    }
    let refused = client(ProtocolVersion::RESP2).subscribe().await.err().expect("it needs RESP3");
    let cause = refused.source().expect("Redis's error").to_string();
    assert!(cause.contains("RESP3"), "{cause}");
}

#[test]
fn debug_shows_the_channel_only() {
    let wakeups = wakeups("redis://:hush@127.0.0.1").prefix("shop:");
    assert_eq!(format!("{wakeups:?}"), r#"RedisWakeups { channel: "shop:wakeups", .. }"#);
}
