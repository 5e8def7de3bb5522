//! The cases for a store that connects to its engine over a network.
//!
//! Each case gets a store and the [`Proxy`] through which it is connected, and makes the network fail.
//! Give the store a time-out of a second or two.
//!
//! ```no_run
//! # struct MyStore;
//! # impl MyStore {
//! #     fn connect(_: std::net::SocketAddr) -> bondify_core::MemoryStore { Default::default() }
//! # }
//! use test_engines::{Engine, Proxy};
//!
//! # fn main() {}
//! test_engines::network_store_suite!(async || {
//!     let engine = Engine::postgres()?;
//!     let proxy = Proxy::start(engine.postgres_socket()).await.unwrap();
//!     Some((MyStore::connect(proxy.address()), proxy, engine))
//! });
//! ```

use std::time::Duration;

use bondify_core::{Bondify, Claimed, DedupeStore, Event, EventKey, LeaseToken, Reply, Secret};
use bondify_testkit::{
    Payload,
    store_suite::cases::{LONG, acquire, acquire_at_last, claim, fresh_key, until},
};
use tokio::{net::TcpListener, time::timeout};

use crate::{Proxy, Upstream};

/// Expands to one `#[tokio::test]` for each case of [`network`](crate::network).
///
/// The async closure returns an `Option` of the store, the [`Proxy`](crate::Proxy) through
/// which it is connected, and a value that must live as long, such as the
/// [`Engine`](crate::Engine). With `None`, a case passes without running.
#[macro_export]
macro_rules! network_store_suite {
    ($new_store:expr) => {
        $crate::__network_store_tests! {
            $new_store;
            silent_connections_are_replaced,
            closed_connections_are_replaced,
            every_call_ends_without_an_answer,
            a_failed_delivery_is_handled_again_after_connections_became_silent,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __network_store_tests {
    ($new_store:expr; $($case:ident,)+) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let case = async {
                if let Some((store, proxy, _engine)) = ($new_store)().await {
                    $crate::network::$case(store, &proxy).await;
                }
            };
            ::bondify_testkit::within_a_minute(case).await;
        }
    )+};
}

/// The open connections become silent, as if a NAT or a load balancer had forgotten them. Within ten
/// seconds each method succeeds on a new connection.
pub async fn silent_connections_are_replaced<S: DedupeStore>(store: S, proxy: &Proxy) {
    each_method_recovers(store, || proxy.go_deaf()).await;
}

/// The open connections are closed. Within ten seconds each method succeeds on a new connection.
pub async fn closed_connections_are_replaced<S: DedupeStore>(store: S, proxy: &Proxy) {
    each_method_recovers(store, || proxy.cut()).await;
}

/// The engine's machine accepts connections and never answers. Each call is an error within half a
/// minute.
pub async fn every_call_ends_without_an_answer<S: DedupeStore>(store: S, proxy: &Proxy) {
    let (key, token) = held(&store).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    proxy.redirect(Upstream::Tcp(silent.local_addr().expect("the listener has an address")));
    proxy.go_deaf();

    let calls = async {
        assert!(store.claim(&fresh_key(), LONG).await.is_err());
        assert!(store.renew(&key, &token, LONG).await.is_err());
        assert!(store.complete(&key, &token, LONG).await.is_err());
        assert!(store.release(&key, &token).await.is_err());
    };
    timeout(Duration::from_secs(30), calls).await.expect("the store has a time-out");
}

/// The connections become silent while a handler runs, and the handler fails. Its answer does not wait for
/// the store, and the next attempt of the delivery is handled within the time that Bondify waits.
pub async fn a_failed_delivery_is_handled_again_after_connections_became_silent<S: DedupeStore>(
    store: S,
    proxy: &Proxy,
) {
    let secret = Secret::new("whsec_test").expect("a valid secret");
    let bondify = Bondify::builder(secret.clone()).store(store).build().expect("valid settings");
    let request = Payload::confirmed().signed_with(&secret);
    let status = |status: &u16| *status;

    let delivery = request.receive_by(&bondify).await.expect("the delivery is accepted");
    let fails = async |_: Event| {
        proxy.go_deaf();
        500
    };
    let answer = timeout(Duration::from_secs(1), delivery.run(fails, status)).await;
    assert_eq!(answer.expect("the answer to a failure does not wait for the store"), Ok(500));

    let retry = timeout(Duration::from_secs(10), request.receive_by(&bondify)).await;
    let delivery = retry.expect("the retry is answered in time").expect("the retry is accepted");
    assert_eq!(delivery.run(async |_: Event| 200, status).await, Ok(200));
    assert_eq!(request.receive_by(&bondify).await.err(), Some(Reply::Duplicate));
}

async fn each_method_recovers<S: DedupeStore>(store: S, fail: impl Fn()) {
    let (completed, token) = held(&store).await;
    let (released, released_token) = held(&store).await;
    fail();
    let renewed = until(async || store.renew(&completed, &token, LONG).await.ok()).await;
    assert!(renewed, "the lease is held");
    fail();
    // `false` if the answer to a first completion was lost.
    until(async || store.complete(&completed, &token, LONG).await.ok()).await;
    fail();
    until(async || store.release(&released, &released_token).await.ok()).await;
    fail();
    until(async || store.claim(&fresh_key(), LONG).await.ok()).await;

    assert_eq!(claim(&store, &completed).await, Claimed::Completed);
    acquire_at_last(&store, &released, LONG).await;
}

async fn held<S: DedupeStore>(store: &S) -> (EventKey, LeaseToken) {
    let key = fresh_key();
    let token = acquire(store, &key, LONG).await;
    (key, token)
}
