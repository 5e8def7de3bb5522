//! The pipeline on the store that it asks directly, without a future: the same promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{thread, time::Duration};

use bondify_core::{Bondify, Builder, Delivery, Event, MemoryStore, Reply, Secret};
use bondify_testkit::{Payload, WebhookRequest};
use futures_util::FutureExt;
use tokio::{sync::oneshot, time::Instant};

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn builder() -> Builder {
    Bondify::builder(secret())
}

fn bondify() -> Bondify {
    builder().build().unwrap()
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

async fn handle(bondify: &Bondify, request: &WebhookRequest, status: u16) -> Result<u16, Reply> {
    answer(request.receive_by(bondify).await?, status).await
}

async fn answer(delivery: Delivery, status: u16) -> Result<u16, Reply> {
    delivery.run_to_completion(async move |_: Event| status, |&status| status).await
}

#[tokio::test]
async fn an_event_is_remembered_in_the_store_that_was_given() {
    let store = MemoryStore::new();
    let bondify = builder().store(store.clone()).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 204).await, Ok(204));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn an_event_takes_effect_once() {
    let (bondify, request) = (bondify(), confirmed());
    assert_eq!(handle(&bondify, &request, 200).await, Ok(200));
    assert_eq!(handle(&bondify, &request, 200).await, Err(Reply::Duplicate));
}

#[tokio::test]
async fn a_failure_is_left_to_a_retry() {
    let (bondify, request) = (bondify(), confirmed());
    assert_eq!(handle(&bondify, &request, 500).await, Ok(500));
    assert_eq!(handle(&bondify, &request, 302).await, Ok(302));
    assert_eq!(handle(&bondify, &request, 200).await, Ok(200));
}

#[tokio::test]
async fn a_panic_is_left_to_a_retry_wherever_it_happens() {
    let (bondify, request) = (bondify(), confirmed());
    let delivery = request.receive_by(&bondify).await.unwrap();
    let panicked = delivery.run_to_completion(async |_: Event| panic!("within"), |()| 200);
    assert_eq!(panicked.await, Err(Reply::HandlerPanicked));
    let delivery = request.receive_by(&bondify).await.unwrap();
    let before = |_: Event| -> std::future::Ready<()> { panic!("before the future") };
    let panicked = delivery.run_to_completion(before, |()| 200);
    assert_eq!(panicked.await, Err(Reply::HandlerPanicked));
    assert_eq!(handle(&bondify, &request, 200).await, Ok(200));
}

#[tokio::test]
async fn what_is_dropped_is_given_back_at_once() {
    let (bondify, request) = (builder().wait(Duration::ZERO).build().unwrap(), confirmed());
    drop(request.receive_by(&bondify).await.unwrap());
    let (_event, claim) = request.receive_by(&bondify).await.unwrap().into_parts();
    drop(claim);
    assert_eq!(handle(&bondify, &request, 200).await, Ok(200));
}

#[tokio::test]
async fn a_duplicate_waits_and_takes_over_or_is_told() {
    for (first, then) in [(200, Err(Reply::Duplicate)), (500, Ok(200))] {
        let (bondify, request) = (bondify(), confirmed());
        let running = request.receive_by(&bondify).await.unwrap();
        let mut duplicate = Box::pin(handle(&bondify, &request, 200));
        assert_eq!(duplicate.as_mut().now_or_never(), None);
        assert_eq!(answer(running, first).await, Ok(first));
        assert_eq!(duplicate.await, then);
    }
}

#[tokio::test]
async fn a_running_handler_keeps_its_lease() {
    const LEASE: Duration = Duration::from_millis(200);
    let bondify = builder().lease(LEASE).wait(Duration::ZERO).build().unwrap();
    let request = confirmed();
    let running = request.receive_by(&bondify).await.unwrap();
    let start = Instant::now();
    while start.elapsed() < 3 * LEASE {
        assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::InFlight);
        tokio::time::sleep(LEASE / 20).await;
    }
    assert_eq!(answer(running, 200).await, Ok(200));
}

#[tokio::test]
async fn a_handler_that_lost_its_lease_completes_its_event_all_the_same() {
    const LEASE: Duration = Duration::from_millis(10);
    let (bondify, request) = (builder().lease(LEASE).build().unwrap(), confirmed());
    let delivery = request.receive_by(&bondify).await.unwrap();
    let block = async |_: Event| {
        thread::sleep(5 * LEASE); // and with it the renewals, on this runtime of one thread
        200
    };
    assert_eq!(delivery.run_to_completion(block, |&status| status).await, Ok(200));
    assert_eq!(handle(&bondify, &request, 200).await, Err(Reply::Duplicate));
}

#[tokio::test]
async fn drain_waits_for_a_handler_whose_client_hung_up() {
    let (bondify, request) = (bondify(), confirmed());
    let delivery = request.receive_by(&bondify).await.unwrap();
    let (resume, resumed) = oneshot::channel();
    let handler = async |_: Event| resumed.await.unwrap();
    let mut handling = delivery.run_to_completion(handler, |&status| status);
    assert!((&mut handling).now_or_never().is_none());
    drop(handling);
    let timed_out = bondify.drain(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(timed_out.running, 1);
    resume.send(200).unwrap();
    bondify.drain(Duration::from_secs(60)).await.unwrap();
    assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::Duplicate);
}
