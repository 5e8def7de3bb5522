//! `Bondify::handle`: events that do not arrive by HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bondify_core::{
    Bondify, Builder, Claimed, Event, HandleError, Handled, MemoryStore, Reply, Secret, Verifier,
};
use bondify_testkit::{Call, Payload, ProbeStore, STORE_ERROR, within_a_minute};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

type Outcome = Result<Handled<u16>, HandleError<io::Error>>;

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn builder() -> Builder {
    Bondify::builder(secret()).namespace("shop")
}

fn probed() -> (Bondify, ProbeStore) {
    let store = ProbeStore::new(MemoryStore::new());
    (builder().store(store.clone()).build().unwrap(), store)
}

/// The event of a session as a poll returns it, with other fields than the webhook has.
fn polled(session: &str) -> Event {
    let payload = Payload::confirmed().session_token(session).field("polled", true);
    payload.signed_with(&secret()).verified_by(&secret()).unwrap()
}

async fn answer(bondify: &Bondify, event: Event, answer: Result<u16, io::Error>) -> Outcome {
    within_a_minute(bondify.handle(event, async move |_| answer)).await
}

async fn webhook(bondify: &Bondify, session: &str, status: u16) -> Result<u16, Reply> {
    let request = Payload::confirmed().session_token(session).signed_with(&secret());
    let handling = async {
        let delivery = request.receive_by(bondify).await?;
        delivery.run_to_completion(async move |_| status, |&status| status).await
    };
    within_a_minute(handling).await
}

#[tokio::test]
async fn drain_ends_a_background_task_and_waits_until_it_is_dropped() {
    struct Dropped(Option<oneshot::Sender<()>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _receiver_is_gone = self.0.take().unwrap().send(());
        }
    }

    let bondify = builder().build().unwrap();
    assert_eq!(within_a_minute(bondify.until_drained(async { 7 })).await, Some(7));

    let (dropped, mut was_dropped) = oneshot::channel();
    let (started, has_started) = oneshot::channel();
    let (task, guard) = (bondify.clone(), Dropped(Some(dropped)));
    let forever = async move {
        let _guard = guard;
        started.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    let task = tokio::spawn(async move { task.until_drained(forever).await });
    has_started.await.unwrap();
    within_a_minute(bondify.drain(Duration::from_secs(10))).await.unwrap();
    was_dropped.try_recv().unwrap();
    assert_eq!(within_a_minute(task).await.unwrap(), None);
    let late = bondify.until_drained(std::future::pending::<()>());
    assert_eq!(within_a_minute(late).await, None);
}

const RELEASED: fn(&Call) -> bool = |call| *call == Call::Release(true);
const COMPLETED: fn(&Call) -> bool = |call| *call == Call::Complete(true);
const IN_FLIGHT: fn(&Call) -> bool = |call| *call == Call::Claim(Claimed::InFlight);

#[tokio::test]
async fn an_event_is_handled_once() {
    let (bondify, store) = probed();
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Now(1));
    assert_eq!(answer(&bondify, polled("s"), Ok(2)).await.unwrap(), Handled::Duplicate);
    assert_eq!(webhook(&bondify, "s", 200).await, Err(Reply::Duplicate));
    assert_eq!(store.calls().iter().filter(|call| COMPLETED(call)).count(), 1);
}

#[tokio::test]
async fn an_event_that_a_webhook_delivered_is_a_duplicate() {
    let (bondify, _) = probed();
    assert_eq!(webhook(&bondify, "s", 204).await, Ok(204));
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Duplicate);
}

#[tokio::test]
async fn an_event_whose_handler_failed_is_handled_by_the_next_call() {
    let (bondify, store) = probed();
    let failed = answer(&bondify, polled("s"), Err(io::Error::other("no space"))).await;
    assert_eq!(failed.unwrap_err().to_string(), "the handler failed: no space");
    store.until(1, RELEASED).await;
    assert_eq!(webhook(&bondify, "s", 500).await, Ok(500));
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Now(1));
}

#[tokio::test]
async fn an_event_whose_handler_panicked_is_handled_by_the_next_call() {
    let (bondify, store) = probed();
    let panicking = async |_: Event| -> Result<u16, io::Error> { panic!("in the handler") };
    let panicked = bondify.handle(polled("s"), panicking).await;
    assert!(matches!(panicked, Err(HandleError::Panicked)), "{panicked:?}");
    store.until(1, RELEASED).await;
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Now(1));
}

#[tokio::test]
async fn it_waits_for_the_webhook_that_is_being_handled() {
    for (status, expected) in [(200, Handled::Duplicate), (500, Handled::Now(1))] {
        let (bondify, store) = probed();
        let request = Payload::confirmed().session_token("s").signed_with(&secret());
        let delivery = request.receive_by(&bondify).await.unwrap();
        let (resume, resumed) = oneshot::channel::<()>();
        let handler = async move |_: Event| {
            resumed.await.unwrap();
            status
        };
        let running = tokio::spawn(delivery.run_to_completion(handler, |&status| status));
        let waiting = {
            let bondify = bondify.clone();
            tokio::spawn(async move { answer(&bondify, polled("s"), Ok(1)).await })
        };
        store.until(1, IN_FLIGHT).await;
        resume.send(()).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), expected);
        assert_eq!(running.await.unwrap(), Ok(status));
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_no_longer_than_a_delivery() {
    let (bondify, _) = probed();
    let request = Payload::confirmed().session_token("s").signed_with(&secret());
    let _held = request.receive_by(&bondify).await.unwrap();
    let start = Instant::now();
    let waited = answer(&bondify, polled("s"), Ok(1)).await;
    assert!(matches!(waited, Err(HandleError::InFlight)), "{waited:?}");
    assert_eq!(start.elapsed().as_secs(), Builder::DEFAULT_WAIT.as_secs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_and_a_poll_at_once_have_one_effect() {
    let store = Arc::new(MemoryStore::new());
    let instance = || builder().store(store.clone()).build().unwrap();
    let (receiving, polling) = (instance(), instance());
    for session in 0..1000 {
        let effects = Arc::new(AtomicUsize::new(0));
        let effect = |value: u16| {
            let effects = effects.clone();
            async move |_: Event| {
                tokio::task::yield_now().await;
                effects.fetch_add(1, Ordering::SeqCst);
                value
            }
        };
        let session = format!("sess_{session}");
        let webhook = {
            let request = Payload::confirmed().session_token(&session).signed_with(&secret());
            let (bondify, handler) = (receiving.clone(), effect(200));
            tokio::spawn(async move {
                let delivery = request.receive_by(&bondify).await?;
                delivery.run_to_completion(handler, |&status| status).await
            })
        };
        let poll = {
            let (bondify, handler, event) = (polling.clone(), effect(1), polled(&session));
            let handler = async move |event| Ok::<_, io::Error>(handler(event).await);
            tokio::spawn(async move { bondify.handle(event, handler).await })
        };
        let (webhook, poll) = (webhook.await.unwrap(), poll.await.unwrap().unwrap());
        assert_eq!(effects.load(Ordering::SeqCst), 1, "{webhook:?} and {poll:?}");
        assert!(
            matches!(
                (webhook, poll),
                (Ok(200), Handled::Duplicate) | (Err(Reply::Duplicate), Handled::Now(1))
            ),
            "{webhook:?} and {poll:?}"
        );
    }
}

#[tokio::test]
async fn a_handler_outlives_the_future_of_its_caller() {
    let (bondify, store) = probed();
    let resume = Arc::new(Notify::new());
    let resumed = resume.clone();
    let handling = bondify.handle(polled("s"), async move |_| {
        resumed.notified().await;
        Ok::<_, io::Error>(1)
    });
    assert!(handling.now_or_never().is_none()); // and is dropped
    resume.notify_one();
    store.until(1, COMPLETED).await;
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Duplicate);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_handler_starts_claims_nothing() {
    let (bondify, store) = probed();
    store.hold_claims();
    let handler = async |_: Event| -> Result<u16, io::Error> { panic!("nobody waits for it") };
    assert!(bondify.handle(polled("s"), handler).now_or_never().is_none());
    store.resume_claims();
    store.until(1, RELEASED).await;
    assert_eq!(answer(&bondify, polled("s"), Ok(1)).await.unwrap(), Handled::Now(1));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_handler_and_ends_waiting_calls() {
    let (bondify, store) = probed();
    let (resume, resumed) = oneshot::channel::<()>();
    let running = {
        let bondify = bondify.clone();
        tokio::spawn(async move {
            let handler = async move |_| {
                resumed.await.unwrap();
                Ok::<_, io::Error>(1)
            };
            bondify.handle(polled("s"), handler).await
        })
    };
    store.until(1, |call| matches!(call, Call::Claim(Claimed::Acquired(_)))).await;
    let waiting = {
        let bondify = bondify.clone();
        tokio::spawn(async move { answer(&bondify, polled("s"), Ok(2)).await })
    };
    store.until(1, IN_FLIGHT).await;
    let late = bondify.drain(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(late.running, 1);
    let waited = waiting.await.unwrap();
    assert!(matches!(waited, Err(HandleError::InFlight)), "{waited:?}");
    resume.send(()).unwrap();
    bondify.drain(Duration::from_secs(10)).await.unwrap();
    assert!(store.calls().iter().any(COMPLETED));
    assert_eq!(running.await.unwrap().unwrap(), Handled::Now(1));
}

#[tokio::test]
async fn a_lease_is_renewed_while_the_handler_runs() {
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = builder().store(store.clone()).lease(Duration::from_secs(1)).build().unwrap();
    let probe = store.clone();
    let handled = bondify.handle(polled("s"), async move |_| {
        probe.until(4, |call| *call == Call::Renew(true)).await; // more than a lease
        Ok::<_, io::Error>(1)
    });
    assert_eq!(within_a_minute(handled).await.unwrap(), Handled::Now(1));
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

#[tokio::test]
async fn a_store_that_is_down_is_an_error_that_says_why() {
    let (bondify, store) = probed();
    store.set_down(true);
    let error = answer(&bondify, polled("s"), Ok(1)).await.unwrap_err();
    assert!(matches!(error, HandleError::StoreUnavailable(_)), "{error:?}");
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    assert!(causes.any(|cause| cause.to_string() == STORE_ERROR));
    let open = builder().store(store).fail_open().build().unwrap();
    assert_eq!(answer(&open, polled("s"), Ok(1)).await.unwrap(), Handled::Now(1));
}

#[tokio::test]
async fn an_event_outside_the_tolerance_is_refused() {
    let store = ProbeStore::new(MemoryStore::new());
    let event = polled("s");
    let occurred_at = event.occurred_at().unwrap();
    let day = Verifier::DEFAULT_TOLERANCE;
    for now in [occurred_at + 2 * day, occurred_at - 2 * Verifier::SKEW] {
        let bondify = builder().store(store.clone()).clock(move || now).build().unwrap();
        let stale = answer(&bondify, event.clone(), Ok(1)).await;
        assert!(matches!(stale, Err(HandleError::Stale)), "{stale:?}");
    }
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn with_verify_only_every_call_is_handled() {
    let bondify = builder().verify_only().build().unwrap();
    for value in [1, 2] {
        assert_eq!(answer(&bondify, polled("s"), Ok(value)).await.unwrap(), Handled::Now(value));
    }
}

#[tokio::test]
async fn a_boxed_error_is_converted_by_the_question_mark_operator() {
    async fn application(bondify: &Bondify) -> Result<(), Box<dyn Error>> {
        let handler = async |_: Event| Err::<(), _>(Box::<dyn Error + Send + Sync>::from("boxed"));
        bondify.handle(polled("s"), handler).await?;
        Ok(())
    }
    let (bondify, _) = probed();
    let error = application(&bondify).await.unwrap_err();
    assert_eq!(error.to_string(), "the handler failed: boxed");
}

#[test]
fn the_causes_of_a_handlers_error_are_displayed() {
    /// Displays its causes as `anyhow::Error` does.
    struct WithCause;
    impl std::fmt::Display for WithCause {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(if f.alternate() { "insert: disk full" } else { "insert" })
        }
    }
    let error = HandleError::Handler(WithCause);
    assert_eq!(error.to_string(), "the handler failed: insert: disk full");
}
