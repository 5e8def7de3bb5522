//! The store on real engines.
//!
//! `BONDIFY_TEST_REDIS_URL` names a running Redis and, with the feature `cluster`,
//! `BONDIFY_TEST_REDIS_CLUSTER_URLS` the nodes of a running cluster, separated by commas. Tests that
//! disturb the engine start their own `redis-server`. Tests without an engine are skipped with a
//! message; in CI they fail.

#![expect(clippy::print_stdout, reason = "measurements, shown with --nocapture")]

mod engine;
mod failovers;
mod rights;
mod silence;
#[cfg(feature = "tls-rustls")]
mod tls;
mod wakeups;

use std::{
    error::Error,
    future::pending,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError};
use bondify_redis::{
    RedisStore,
    redis::{
        Arg, Cmd, Pipeline, RedisError, RedisFuture, Value,
        aio::{ConnectionLike, ConnectionManager},
    },
};
use bondify_testkit::{engine_url, within_a_minute};
use test_engines::{Engine, Stop};

use crate::engine::{PATIENT, connect, open, tell};

const LEASE: Duration = Duration::from_secs(60);
const RETENTION: Duration = Duration::from_secs(25 * 3600);

mod single_node {
    use super::*;

    bondify_testkit::dedupe_store_suite!(optional async || {
        let url = engine_url("BONDIFY_TEST_REDIS_URL")?;
        Some(open(url))
    });
}

mod existing_connection {
    use super::*;

    bondify_testkit::dedupe_store_suite!(optional async || {
        let url = engine_url("BONDIFY_TEST_REDIS_URL")?;
        Some(RedisStore::new(connect(url).await).timeout(PATIENT))
    });
}

#[cfg(feature = "cluster")]
mod cluster {
    use bondify_redis::redis::cluster::ClusterClient;

    use super::*;

    bondify_testkit::dedupe_store_suite!(optional async || {
        let urls = engine_url("BONDIFY_TEST_REDIS_CLUSTER_URLS")?;
        let client = ClusterClient::builder(urls.split(',')).response_timeout(PATIENT).build();
        let client = client.expect("Redis URLs");
        Some(RedisStore::open(client).timeout(PATIENT))
    });
}

#[tokio::test]
async fn a_completed_key_costs_at_most_160_bytes() {
    const KEYS: usize = 20_000;

    let Some(server) = Engine::redis() else { return };
    let connection = connect(server.url()).await;
    let store = RedisStore::new(connection.clone()).timeout(PATIENT);
    settle(&store, key("the first")).await;
    let name = format!("bondify:{}", key("the first"));
    let told: usize = tell(&connection, &format!("MEMORY USAGE {name}")).await;
    assert!(told <= 160, "{told} bytes");

    // `MEMORY USAGE` does not include the memory that Redis needs to expire a key.
    let () = tell(&connection, "CONFIG SET appendonly no").await;
    let before = memory(&connection).await;
    for number in 0..KEYS {
        settle(&store, key(&number.to_string())).await;
    }
    let each = (memory(&connection).await - before).div_ceil(KEYS);
    assert!(each <= 160, "{each} bytes");
}

#[tokio::test]
async fn stores_with_different_prefixes_are_independent() {
    let Some(server) = Engine::redis() else { return };
    let connection = connect(server.url()).await;
    let store = RedisStore::new(connection.clone());
    for store in [store.clone(), store.clone().prefix("shop:"), store.prefix("")] {
        settle(&store, key("the same")).await;
    }

    let mut names: Vec<String> = tell(&connection, "KEYS *").await;
    names.sort();
    let digits = key("the same").to_string();
    assert_eq!(names, [digits.clone(), format!("bondify:{digits}"), format!("shop:{digits}")]);
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    let Some(server) = Engine::redis() else { return };
    let wire = Wire::new(connect(server.url()).await);
    let store = RedisStore::new(wire.clone());
    each_call(&store, key("scripts are learnt")).await;

    wire.asked();
    each_call(&store, key("and known")).await;
    assert_eq!(wire.asked().len(), 5);
}

#[tokio::test]
async fn scripts_are_cached_again_after_a_flush() {
    let Some(server) = Engine::redis() else { return };
    let wire = Wire::new(connect(server.url()).await);
    let store = RedisStore::new(wire.clone());
    each_call(&store, key("scripts are learnt")).await;
    let () = tell(&wire.connection, "SCRIPT FLUSH").await;

    wire.asked();
    each_call(&store, key("and forgotten")).await;
    assert_eq!(wire.asked().len(), 8, "one more for each of three scripts");
}

#[tokio::test]
async fn durations_and_no_times_are_sent_to_redis() {
    let Some(server) = Engine::redis() else { return };
    let wire = Wire::new(connect(server.url()).await);
    each_call(&RedisStore::new(wire.clone()), key("timed")).await;

    let number_of_keys = 1;
    let expected = [number_of_keys, LEASE.as_millis(), RETENTION.as_millis()];
    for command in wire.asked() {
        for argument in command.args_iter() {
            let Arg::Simple(argument) = argument else { continue };
            let number = str::from_utf8(argument).ok().and_then(|text| text.parse().ok());
            assert!(number.is_none_or(|number| expected.contains(&number)), "{number:?}");
        }
    }
}

// A cluster connection sends a command again if the answer was lost.
#[tokio::test]
async fn a_claim_sent_twice_is_acquired() {
    let Some(server) = Engine::redis() else { return };
    let store = RedisStore::new(Wire { times: 2, ..Wire::new(connect(server.url()).await) });
    let token = acquire(&store, key("sent twice")).await;
    assert_eq!(store.claim(&key("sent twice"), LEASE).await.unwrap(), Claimed::InFlight);
    assert!(store.renew(&key("sent twice"), &token, LEASE).await.unwrap());
}

#[tokio::test]
async fn a_paused_redis_causes_errors_in_time_and_works_afterwards() {
    const TIMEOUT: Duration = Duration::from_millis(100);

    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = open(server.url()).timeout(TIMEOUT);
    let held = key("held");
    let token = acquire(&store.clone().timeout(PATIENT), held).await;
    let () = tell(&admin, "CLIENT PAUSE 3600000 WRITE").await;

    let start = Instant::now();
    assert_timed_out(store.claim(&key("fresh"), LEASE).await);
    assert_timed_out(store.renew(&held, &token, LEASE).await);
    assert_timed_out(store.complete(&held, &token, RETENTION).await);
    assert_timed_out(store.release(&held, &token).await);
    assert!((4 * TIMEOUT..PATIENT).contains(&start.elapsed()), "{:?}", start.elapsed());

    let () = tell(&admin, "CLIENT UNPAUSE").await;
    settle(&store.timeout(PATIENT), key("another")).await;
}

#[tokio::test]
async fn a_killed_connection_is_replaced_within_the_call() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = open(server.url());
    let token = acquire(&store, key("held")).await;

    let killed: usize = tell(&admin, "CLIENT KILL TYPE normal SKIPME yes").await;
    assert_eq!(killed, 1);
    assert!(store.renew(&key("held"), &token, LEASE).await.unwrap());
    assert!(store.complete(&key("held"), &token, RETENTION).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_killed_under_load_remembers_acknowledged_events_after_a_restart() {
    const TASKS: usize = 16;

    let Some(mut server) = Engine::redis() else { return };
    let store = open(server.url()).timeout(Duration::from_secs(1));
    let completed = Arc::new(AtomicUsize::new(0));
    let load = (0..TASKS).map(|task| {
        let (store, completed) = (store.clone(), completed.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let key = key(&format!("{task}, {number}"));
                let Ok(Claimed::Acquired(token)) = store.claim(&key, LEASE).await else {
                    return number;
                };
                if store.complete(&key, &token, RETENTION).await.is_err() {
                    return number;
                }
                completed.fetch_add(1, SeqCst);
            }
            unreachable!("Redis is killed before")
        })
    });
    let load: Vec<_> = load.collect();

    within_a_minute(async {
        while completed.load(SeqCst) < 1000 {
            tokio::task::yield_now().await;
        }
        server.stop(Stop::Crash);
        let mut remembered = Vec::new();
        for (task, load) in load.into_iter().enumerate() {
            let completed = load.await.expect("each task ends with an error");
            remembered.extend((0..completed).map(|number| key(&format!("{task}, {number}"))));
        }
        assert!(store.claim(&key("while it is down"), LEASE).await.is_err());

        server.start_again();
        while store.claim(&key("while it connects"), LEASE).await.is_err() {}
        for key in remembered {
            assert_eq!(store.claim(&key, LEASE).await.unwrap(), Claimed::Completed);
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_redis_refuses_claims_and_settles_handled_events() {
    let Some(server) = Engine::redis() else { return };
    let connection = connect(server.url()).await;
    let store = RedisStore::new(connection.clone()).timeout(PATIENT);
    let (handled, refused) = (key("handled"), key("refused"));
    let handled_token = acquire(&store, handled).await;
    let refused_token = acquire(&store, refused).await;
    let () = tell(&connection, "CONFIG SET maxmemory 1").await;

    assert!(store.claim(&key("fresh"), LEASE).await.is_err());
    assert!(store.renew(&handled, &handled_token, LEASE).await.unwrap());
    assert!(store.complete(&handled, &handled_token, RETENTION).await.unwrap());
    assert!(store.release(&refused, &refused_token).await.unwrap());

    let () = tell(&connection, "CONFIG SET maxmemory 0").await;
    assert_eq!(store.claim(&handled, LEASE).await.unwrap(), Claimed::Completed);
    acquire(&store, refused).await;
}

#[tokio::test]
async fn a_redis_that_refuses_writes_still_knows_its_events() {
    for refuse in ["maxmemory 1", "min-replicas-to-write 1"] {
        let Some(server) = Engine::redis() else { return };
        let admin = connect(server.url()).await;
        let [store, new_connection] = [(); 2].map(|()| open(server.url()));
        settle(&store, key("handled")).await;
        acquire(&store, key("in flight")).await;
        let () = tell(&admin, &format!("CONFIG SET {refuse}")).await;

        for store in [&store, &new_connection] {
            assert_eq!(
                store.claim(&key("handled"), LEASE).await.expect(refuse),
                Claimed::Completed
            );
            assert_eq!(
                store.claim(&key("in flight"), LEASE).await.expect(refuse),
                Claimed::InFlight
            );
            assert!(store.claim(&key("fresh"), LEASE).await.is_err(), "{refuse}");
        }
    }
}

#[tokio::test]
async fn a_check_names_each_setting_that_loses_events() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = open(server.url());
    assert_eq!(store.check().await.expect(ANSWERS), [""; 0]);

    let () = tell(&admin, "CONFIG SET maxmemory-policy allkeys-lru").await;
    let () = tell(&admin, "CONFIG SET appendonly no").await;
    let advice = store.check().await.expect(ANSWERS);
    assert_eq!(advice.len(), 2, "{advice:?}");
    assert!(advice[0].contains("maxmemory-policy is allkeys-lru"), "{advice:?}");
    assert!(advice[1].contains("appendonly is no"), "{advice:?}");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_check_names_the_nodes_of_a_cluster() {
    use bondify_redis::redis::cluster::ClusterClient;

    let Some(urls) = engine_url("BONDIFY_TEST_REDIS_CLUSTER_URLS") else { return };
    let client = ClusterClient::builder(urls.split(',')).response_timeout(PATIENT).build();
    let store = RedisStore::open(client.expect("Redis URLs")).timeout(PATIENT);
    let advice = store.check().await.expect(ANSWERS);
    for url in urls.split(',') {
        let node = url.strip_prefix("redis://").expect("a Redis URL");
        let fault = format!("{node}: appendonly is no: ");
        assert!(advice.iter().any(|advice| advice.starts_with(&fault)), "{node}: {advice:?}");
    }
}

/// A connection that records its commands, and sends each command `times` times.
#[derive(Clone)]
struct Wire {
    connection: ConnectionManager,
    asked: Arc<Mutex<Vec<Cmd>>>,
    times: usize,
    /// The number of the next answers that are lost.
    lost: Arc<AtomicUsize>,
}

impl Wire {
    fn new(connection: ConnectionManager) -> Self {
        Self { connection, asked: Arc::default(), times: 1, lost: Arc::default() }
    }

    /// Returns the commands that were sent since the last call.
    fn asked(&self) -> Vec<Cmd> {
        mem::take(&mut self.asked.lock().expect("the lock is not poisoned"))
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            self.asked.lock().expect("the lock is not poisoned").push(cmd.clone());
            for _ in 1..self.times {
                let _lost = self.connection.req_packed_command(cmd).await;
            }
            let answer = self.connection.req_packed_command(cmd).await;
            let is_lost =
                self.lost.fetch_update(SeqCst, SeqCst, |lost| lost.checked_sub(1)).is_ok();
            if is_lost { pending().await } else { answer }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

const ANSWERS: &str = "Redis answers";

fn key(session: &str) -> EventKey {
    EventKey::new("auth.confirmed", session)
}

async fn acquire(store: &impl DedupeStore, key: EventKey) -> LeaseToken {
    match store.claim(&key, LEASE).await.expect(ANSWERS) {
        Claimed::Acquired(token) => token,
        other => panic!("the key is free, but the claim is {other:?}"),
    }
}

async fn settle(store: &impl DedupeStore, key: EventKey) {
    let token = acquire(store, key).await;
    assert!(store.complete(&key, &token, RETENTION).await.expect(ANSWERS));
}

/// Makes five calls: one of each kind, and another claim after the release.
async fn each_call(store: &impl DedupeStore, key: EventKey) {
    let token = acquire(store, key).await;
    assert!(store.renew(&key, &token, LEASE).await.expect(ANSWERS));
    assert!(store.release(&key, &token).await.expect(ANSWERS));
    settle(store, key).await;
}

/// The bytes that Redis has allocated.
async fn memory(connection: &ConnectionManager) -> usize {
    let info: String = tell(connection, "INFO memory").await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|bytes| bytes.parse().ok()).expect("Redis knows its memory")
}

#[track_caller]
fn assert_timed_out<T>(answer: Result<T, StoreError>) {
    let error = answer.err().expect("Redis is paused");
    let source = error.source().and_then(|source| source.downcast_ref::<RedisError>());
    assert!(source.is_some_and(RedisError::is_timeout), "{error:?}");
}
