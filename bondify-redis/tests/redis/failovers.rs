//! Failovers after which the old primary is a replica or has ended.

#[cfg(feature = "sentinel")]
use bondify_redis::redis::{
    RedisConnectionInfo,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use test_engines::RedisPair;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place, yield_now},
    time::sleep,
};

use super::*;
use crate::engine::{proxy, upstream, url_of};

/// The default time-out of the store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The limit for a recovery on a slow machine. The README promises two seconds.
const RECOVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_demoted_redis_succeeds_on_the_new_primary_at_the_same_address() {
    let Some(pair) = RedisPair::start() else { return };
    let proxy = proxy(&pair.primary).await;
    let store = open(url_of(&proxy)).timeout(TIMEOUT);
    within_a_minute(async {
        let load = Load::start(&store);
        load.goes_on().await;
        proxy.redirect(upstream(&pair.replica));
        block_in_place(|| pair.fail_over());
        load.recovers("a demotion").await;
        load.ends_with_each_event_handled_once(&store).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_that_reached_a_replica_is_retried_on_the_primary() {
    let Some(pair) = RedisPair::start() else { return };
    let proxy = proxy(&pair.primary).await;
    let store = open(url_of(&proxy));
    let token = acquire(&store, key("held")).await;
    proxy.redirect(upstream(&pair.replica));
    pair.fail_over();

    assert!(store.renew(&key("held"), &token, LEASE).await.unwrap());
    settle(&store, key("fresh")).await;
}

#[cfg(feature = "sentinel")]
#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_is_followed_with_narrow_rights() {
    let Some(mut pair) = RedisPair::start() else { return };
    let Some(sentinel) = pair.sentinel("shop") else { return };
    let rights = rights::rights("behind Sentinels");
    let client = narrow_client(&pair, &sentinel, &rights).await;
    let store = RedisStore::open(client).timeout(TIMEOUT);
    within_a_minute(async {
        let load = Load::start(&store);
        load.goes_on().await;
        block_in_place(|| {
            pair.hold_writes();
            pair.primary.stop(Stop::Crash);
            pair.until_promoted();
        });
        load.recovers("a failover by a Sentinel").await;
        load.ends_with_each_event_handled_once(&store).await;
    })
    .await;
}

/// A client that asks the Sentinel for the primary of `shop`, whose user has only these rights.
#[cfg(feature = "sentinel")]
pub(crate) async fn narrow_client(
    pair: &RedisPair,
    sentinel: &Engine,
    rights: &str,
) -> SentinelClient {
    for engine in [&pair.primary, &pair.replica] {
        let admin = connect(engine.url()).await;
        let () = tell(&admin, &format!("ACL SETUSER narrow on >secret {rights}")).await;
    }
    let user = RedisConnectionInfo::default().set_username("narrow").set_password("secret");
    let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(user);
    let master = SentinelServerType::Master;
    SentinelClient::build(vec![sentinel.url()], "shop", Some(node), master).expect("a Redis URL")
}

/// A load: tasks that handle one event after the other, as the pipeline does. A claim that fails is
/// repeated, as Bondify repeats a delivery.
struct Load {
    tasks: JoinSet<Vec<EventKey>>,
    /// The events whose completion was acknowledged.
    completed: watch::Sender<usize>,
    handled: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    ends: watch::Sender<bool>,
}

impl Load {
    const TASKS: usize = 8;

    fn start(store: &RedisStore) -> Self {
        let mut load = Self {
            tasks: JoinSet::new(),
            completed: watch::Sender::default(),
            handled: Arc::default(),
            failed: Arc::default(),
            ends: watch::Sender::default(),
        };
        for task in 0..Self::TASKS {
            let (store, completed) = (store.clone(), load.completed.clone());
            let (handled, failed) = (load.handled.clone(), load.failed.clone());
            let ends = load.ends.subscribe();
            load.tasks.spawn(async move {
                let mut keys = Vec::new();
                while !*ends.borrow() {
                    let key = key(&format!("{task}, {}", keys.len()));
                    handle(&store, key, &handled, &failed).await;
                    completed.send_modify(|completed| *completed += 1);
                    keys.push(key);
                    yield_now().await;
                }
                keys
            });
        }
        load
    }

    /// Waits until each task can have handled another event.
    async fn goes_on(&self) {
        let mut completed = self.completed.subscribe();
        let wanted = *completed.borrow() + 10 * Self::TASKS;
        completed.wait_for(|&completed| completed >= wanted).await.expect("the load goes on");
    }

    async fn recovers(&self, from: &str) {
        let start = Instant::now();
        self.goes_on().await;
        let (took, failed) = (start.elapsed(), self.failed.load(SeqCst));
        println!("works again {took:?} after {from}; {failed} calls failed meanwhile");
        assert!(took < RECOVERY, "{took:?}");
    }

    async fn ends_with_each_event_handled_once(self, store: &RedisStore) {
        self.ends.send_replace(true);
        let keys = self.tasks.join_all().await.concat();
        for key in &keys {
            assert_eq!(store.claim(key, LEASE).await.expect(ANSWERS), Claimed::Completed);
        }
        println!("{} events, handled {} times", keys.len(), self.handled.load(SeqCst));
        assert_eq!(self.handled.load(SeqCst), keys.len());
    }
}

/// Handles an event until it is completed.
async fn handle(store: &RedisStore, key: EventKey, handled: &AtomicUsize, failed: &AtomicUsize) {
    loop {
        match store.claim(&key, LEASE).await {
            Ok(Claimed::Completed) => return,
            Ok(Claimed::InFlight) => {}
            Ok(Claimed::Acquired(token)) => {
                handled.fetch_add(1, SeqCst);
                while store.complete(&key, &token, RETENTION).await.is_err() {
                    failed.fetch_add(1, SeqCst);
                    sleep(Duration::from_millis(10)).await;
                }
                continue;
            }
            Err(_) => {
                failed.fetch_add(1, SeqCst);
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}
