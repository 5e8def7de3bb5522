//! What only the pipeline without a server can show: cancellation to the point, stores
//! that misbehave, and runtimes that come and go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    sync::mpsc,
    time::{Duration, SystemTime},
};

use bondify_core::{
    Bondify, Builder, Claimed, DedupeStore, Event, EventKey, LeaseToken, MemoryStore, Reply,
    Secret, StoreError, Verifier, async_trait,
};
use bondify_testkit::{Call, Payload, ProbeStore, WebhookRequest};
use futures_util::FutureExt;
use tokio::runtime::{self, Runtime};

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn builder() -> Builder {
    Bondify::builder(secret())
}

fn probed() -> (Bondify, ProbeStore) {
    let store = ProbeStore::new(MemoryStore::new());
    (builder().store(store.clone()).build().unwrap(), store)
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

async fn handle(bondify: &Bondify, request: &WebhookRequest, status: u16) -> Result<u16, Reply> {
    let delivery = request.receive_by(bondify).await?;
    delivery
        .run(async |_: Event| status, |&status| status)
        .await
}

const RELEASED: fn(&Call) -> bool = |call| *call == Call::Release(true);

#[tokio::test]
async fn a_delivery_that_is_dropped_is_released() {
    let (bondify, store) = probed();
    let request = confirmed();
    drop(request.receive_by(&bondify).await.unwrap());
    store.until(1, RELEASED).await;
    let (_event, claim) = request.receive_by(&bondify).await.unwrap().into_parts();
    drop(claim);
    store.until(2, RELEASED).await;
    assert_eq!(handle(&bondify, &request, 200).await, Ok(200));
}

#[tokio::test]
async fn a_handler_that_is_cancelled_is_released() {
    let (bondify, store) = probed();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    let run = delivery.run(async |_: Event| pending::<u16>().await, |&status| status);
    assert!(run.now_or_never().is_none());
    store.until(1, RELEASED).await;
}

#[tokio::test]
async fn a_spawned_handler_outlives_its_caller() {
    let (bondify, store) = probed();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    let (resume, resumed) = tokio::sync::oneshot::channel::<()>();
    let handler = async |_: Event| {
        resumed.await.unwrap();
        200
    };
    drop(delivery.spawn(handler, |&status| status));
    resume.send(()).unwrap();
    store.until(1, |call| *call == Call::Complete(true)).await;
}

#[tokio::test]
async fn a_claim_is_settled_by_the_final_status() {
    let (bondify, store) = probed();
    let request = confirmed();
    for (status, call) in [(500, Call::Release(true)), (204, Call::Complete(true))] {
        let (_event, claim) = request.receive_by(&bondify).await.unwrap().into_parts();
        claim.settle(status).await;
        assert_eq!(store.calls().last(), Some(&call));
    }
    assert_eq!(
        request.receive_by(&bondify).await.unwrap_err(),
        Reply::Duplicate
    );
}

#[tokio::test]
async fn a_replay_is_remembered_or_too_old() {
    let confirmed_at = SystemTime::now();
    let request = Payload::confirmed().at(confirmed_at).signed_with(&secret());
    let at = |offset: Duration| {
        let clock = move || confirmed_at - Verifier::SKEW + offset;
        builder().clock(clock).store(RETAINING).build().unwrap()
    };
    // As early as it can be accepted, and as late as it can be replayed.
    assert_eq!(
        handle(&at(Duration::from_secs(1)), &request, 200).await,
        Ok(200)
    );
    let replayable = Verifier::SKEW + Verifier::DEFAULT_TOLERANCE;
    let too_late = at(replayable + Duration::from_secs(2));
    assert_eq!(
        handle(&too_late, &request, 200).await,
        Err(Reply::StaleEvent)
    );
}

/// Asserts that what is completed is retained for as long as it can be replayed.
const RETAINING: FnStore = FnStore {
    claim: |_| async { Ok(Claimed::Acquired(LeaseToken::new(1))) }.boxed(),
    complete: |retention| {
        assert_eq!(retention, Verifier::DEFAULT_TOLERANCE + Verifier::SKEW);
        async { Ok(true) }.boxed()
    },
};

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_unavailable_before_bondify_gives_up() {
    let silent = FnStore {
        claim: |_| pending().boxed(),
        ..RETAINING
    };
    let bondify = builder().store(silent).build().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(
        handle(&bondify, &confirmed(), 200).await,
        Err(Reply::StoreUnavailable)
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_confirms_does_not_hold_the_answer_back() {
    let silent = FnStore {
        complete: |_| pending().boxed(),
        ..RETAINING
    };
    let bondify = builder().store(silent).build().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_store_that_panics_is_unavailable() {
    let panicking = FnStore {
        claim: |_| panic!("at once"),
        ..RETAINING
    };
    let bondify = builder().store(panicking).build().unwrap();
    assert_eq!(
        handle(&bondify, &confirmed(), 200).await,
        Err(Reply::StoreUnavailable)
    );
    let panicking = FnStore {
        claim: |_| {
            async {
                tokio::task::yield_now().await;
                panic!("later")
            }
            .boxed()
        },
        ..RETAINING
    };
    let bondify = builder().store(panicking).build().unwrap();
    assert_eq!(
        handle(&bondify, &confirmed(), 200).await,
        Err(Reply::StoreUnavailable)
    );
}

fn current_thread() -> Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Answers claims after a turn of the timer, as a store behind a network does.
fn remote() -> FnStore {
    FnStore {
        claim: |_| {
            async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(Claimed::Acquired(LeaseToken::new(1)))
            }
            .boxed()
        },
        ..RETAINING
    }
}

#[test]
fn it_can_be_built_before_there_is_a_runtime() {
    let bondify = builder().store(remote()).build().unwrap();
    assert_eq!(
        current_thread().block_on(handle(&bondify, &confirmed(), 200)),
        Ok(200)
    );
}

#[test]
fn it_outlives_the_runtime_it_was_built_on() {
    let bondify = current_thread().block_on(async { builder().store(remote()).build().unwrap() });
    for _ in 0..2 {
        assert_eq!(
            current_thread().block_on(handle(&bondify, &confirmed(), 200)),
            Ok(200)
        );
    }
}

#[test]
fn a_claim_dropped_after_its_runtime_is_not_a_panic() {
    let (bondify, _store) = probed();
    let delivery = current_thread()
        .block_on(confirmed().receive_by(&bondify))
        .unwrap();
    drop(delivery);
}

#[test]
fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let home = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (bondify, store) = home.block_on(async {
        let store = ProbeStore::new(MemoryStore::new());
        let lease = Duration::from_millis(100);
        (
            builder().store(store.clone()).lease(lease).build().unwrap(),
            store,
        )
    });
    let (renewed, block) = mpsc::channel();
    let probe = store.clone();
    home.spawn(async move {
        probe.until(9, |call| *call == Call::Renew(true)).await;
        renewed.send(()).unwrap();
    });
    let delivery = current_thread()
        .block_on(confirmed().receive_by(&bondify))
        .unwrap();
    let handler = async |_: Event| {
        block.recv().unwrap();
        200
    };
    let handled = current_thread().block_on(delivery.run(handler, |&status| status));
    assert_eq!(handled.unwrap(), 200);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

/// A store of two functions, for what no real one does on demand.
struct FnStore {
    claim: fn(&EventKey) -> BoxFuture<Result<Claimed, StoreError>>,
    complete: fn(Duration) -> BoxFuture<Result<bool, StoreError>>,
}

type BoxFuture<T> = futures_util::future::BoxFuture<'static, T>;

#[async_trait]
impl DedupeStore for FnStore {
    async fn claim(&self, key: &EventKey, _: Duration) -> Result<Claimed, StoreError> {
        (self.claim)(key).await
    }

    async fn renew(&self, _: &EventKey, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn complete(
        &self,
        _: &EventKey,
        _: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        (self.complete)(retention).await
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        Ok(true)
    }
}
