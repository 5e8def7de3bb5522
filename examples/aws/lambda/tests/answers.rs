//! When an answer is sent, without Lambda around it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::pending, time::Duration};

use axum::{Router, body::Body, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_core::{
    Claimed, DedupeStore, EventKey, LeaseToken, MemoryStore, StoreError, async_trait,
};
use bondify_testkit::Payload;
use on_lambda::on_lambda;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

#[tokio::test]
async fn a_store_in_memory_is_refused_with_the_reason() {
    let memory = Bondify::builder(secret()).store(MemoryStore::new()).build().unwrap();
    let error = on_lambda(&memory, Router::new()).unwrap_err();
    assert!(error.to_string().contains("a memory of its own"), "{error}");

    // An inbox keeps the events of a `Bondify` without a store.
    let inbox = Bondify::builder(secret()).verify_only().build().unwrap();
    assert!(on_lambda(&inbox, Router::new()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_once_the_event_is_released() {
    let (status, time) = answer_of(StatusCode::INTERNAL_SERVER_ERROR, Duration::from_secs(2)).await;
    assert_eq!((status, time), (StatusCode::INTERNAL_SERVER_ERROR, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_success_is_answered_in_time_even_if_the_store_is_silent() {
    let (status, time) = answer_of(StatusCode::NO_CONTENT, Duration::MAX).await;
    assert_eq!((status, time), (StatusCode::NO_CONTENT, Duration::from_secs(9)));
}

/// The answer to a delivery, and its time, if the handler answers with `status` at once and the store takes
/// `settling` to complete or release the event.
async fn answer_of(status: StatusCode, settling: Duration) -> (StatusCode, Duration) {
    let bondify = Bondify::builder(secret()).store(Slow { settling }).build().unwrap();
    let handler = async move |_: BondifyEvent| status;
    let routes = Router::new().route("/webhooks/bondify", bondify.post(handler));
    let request = Payload::confirmed().signed_with(&secret());
    let request = request.to_http("/webhooks/bondify", Body::from);
    let start = Instant::now();
    let response = on_lambda(&bondify, routes).unwrap().oneshot(request).await.unwrap();
    (response.status(), start.elapsed())
}

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

/// A store that takes its time to settle. `Duration::MAX` is for ever.
struct Slow {
    settling: Duration,
}

impl Slow {
    async fn settle(&self) -> Result<bool, StoreError> {
        if self.settling == Duration::MAX {
            return pending().await;
        }
        sleep(self.settling).await;
        Ok(true)
    }
}

#[async_trait]
impl DedupeStore for Slow {
    async fn claim(&self, _: &EventKey, _: Duration) -> Result<Claimed, StoreError> {
        Ok(Claimed::Acquired(LeaseToken::new(1)))
    }

    async fn renew(&self, _: &EventKey, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn complete(
        &self,
        _: &EventKey,
        _: &LeaseToken,
        _: Duration,
    ) -> Result<bool, StoreError> {
        self.settle().await
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        self.settle().await
    }
}
