//! Behaviour that only the pipeline without a server can show: cancellation at a chosen step, stores
//! that misbehave, and runtimes that end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime},
};

use bondify_core::{
    Bondify, Builder, Claimed, DedupeStore, Event, EventKey, LeaseToken, MemoryStore, Reply,
    Secret, StoreError, Verifier, async_trait,
};
use bondify_testkit::{Call, Payload, ProbeStore, WebhookRequest};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::{self, Runtime},
    time::Instant,
};

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

/// Handles a delivery with the answer `status`, within a minute.
async fn handle(bondify: &Bondify, request: &WebhookRequest, status: u16) -> Result<u16, Reply> {
    let handling = async {
        let delivery = request.receive_by(bondify).await?;
        delivery.run_to_completion(async move |_: Event| status, |&status| status).await
    };
    tokio::time::timeout(Duration::from_secs(60), handling).await.expect("it ends")
}

const COMPLETED: fn(&Call) -> bool = |call| *call == Call::Complete(true);
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
    drop(delivery.run_to_completion(handler, |&status| status));
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
    assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::Duplicate);
}

#[tokio::test]
async fn a_status_of_2xx_completes_and_any_other_status_releases() {
    let (bondify, store) = probed();
    for status in [0, 100, 199, 200, 201, 204, 299, 300, 302, 304, 399, 400, 404, 500, 599, 999] {
        let expected = if (200..300).contains(&status) { COMPLETED } else { RELEASED };
        for in_parts in [false, true] {
            let (request, calls) = (confirmed(), store.calls().len());
            if in_parts {
                let (_event, claim) = request.receive_by(&bondify).await.unwrap().into_parts();
                claim.settle(status).await;
            } else {
                assert_eq!(handle(&bondify, &request, status).await, Ok(status));
            }
            bondify.drain(TEN_SECONDS).await.unwrap();
            let calls = &store.calls()[calls..];
            assert!(calls.len() == 2 && expected(&calls[1]), "{status}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn a_replay_is_remembered_or_too_old() {
    let confirmed_at = SystemTime::now();
    let request = Payload::confirmed().at(confirmed_at).signed_with(&secret());
    let retentions = Arc::new(Mutex::new(Vec::new()));
    let at = |offset: Duration| {
        let retentions = retentions.clone();
        let remember = move |retention| {
            retentions.lock().unwrap().push(retention);
            async { Ok(true) }.boxed()
        };
        let clock = move || confirmed_at - Verifier::SKEW + offset;
        builder().clock(clock).store(FnStore::default().complete(remember)).build().unwrap()
    };
    // Accepted as early as possible, and replayed as late as possible.
    assert_eq!(handle(&at(Duration::from_secs(1)), &request, 200).await, Ok(200));
    let replayable = Verifier::SKEW + Verifier::DEFAULT_TOLERANCE;
    let too_late = at(replayable + Duration::from_secs(2));
    assert_eq!(handle(&too_late, &request, 200).await, Err(Reply::StaleEvent));
    assert_eq!(*retentions.lock().unwrap(), [replayable]);
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_a_503_before_bondifys_time_out() {
    let silent = FnStore::default().claim(|| pending().boxed());
    let bondify = builder().store(silent).build().unwrap();
    let start = Instant::now();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::StoreUnavailable));
    assert!(start.elapsed() < TEN_SECONDS);
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_is_never_answered_does_not_delay_the_answer() {
    // The claim is slow as well. Both together must end before Bondify's time-out.
    let silent = FnStore::default()
        .claim(|| answer_after(Duration::from_millis(4900), acquired))
        .complete(|_| pending().boxed());
    let bondify = builder().store(silent).build().unwrap();
    let start = Instant::now();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
    assert!(start.elapsed() < Duration::from_millis(9100), "a second is left to answer");
}

#[tokio::test(start_paused = true)]
async fn waiting_on_a_store_behind_a_network_ends_with_409_in_time() {
    for fail_open in [false, true] {
        let busy = FnStore::default()
            .claim(|| answer_after(Duration::from_millis(5), || Ok(Claimed::InFlight)));
        let builder = builder().store(busy);
        let builder = if fail_open { builder.fail_open() } else { builder };
        let bondify = builder.build().unwrap();
        let start = Instant::now();
        assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::InFlight));
        assert!((Builder::DEFAULT_WAIT..TEN_SECONDS).contains(&start.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_while_a_duplicate_waits_does_not_admit_it() {
    let mut claims = 0;
    let failing = FnStore::default().claim(move || {
        claims += 1;
        let failed = claims > 1;
        let answer =
            move || if failed { Err(StoreError::new("gone")) } else { Ok(Claimed::InFlight) };
        answer_after(Duration::ZERO, answer)
    });
    let bondify = builder().store(failing).fail_open().build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::InFlight));
}

/// The replies to two thousand copies of one delivery, and the number of claims that they made.
async fn flood(store: FnStore, claims: &AtomicUsize) -> (Vec<Result<u16, Reply>>, usize) {
    let bondify = builder().store(store).build().unwrap();
    let request = confirmed();
    let copies = (0..2000).map(|_| handle(&bondify, &request, 200));
    let answers = futures_util::future::join_all(copies).await;
    bondify.drain(TEN_SECONDS).await.unwrap();
    (answers, claims.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn the_waiters_of_one_event_claim_one_at_a_time() {
    // The event is in flight elsewhere: for four seconds and then completed, or for ever.
    for (seconds, expected) in [(4, Reply::Duplicate), (60, Reply::InFlight)] {
        let (start, claims) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let (asked, most) = (claims.clone(), Arc::new(AtomicUsize::new(0)));
        let busy = FnStore::default().claim(move || {
            let beside = most.fetch_add(1, Ordering::SeqCst);
            assert_eq!(beside, 0, "one at a time");
            asked.fetch_add(1, Ordering::SeqCst);
            let most = most.clone();
            answer_after(Duration::from_millis(1), move || {
                most.fetch_sub(1, Ordering::SeqCst);
                let done = start.elapsed() >= Duration::from_secs(seconds);
                Ok(if done { Claimed::Completed } else { Claimed::InFlight })
            })
        });
        let (answers, claims) = flood(busy, &claims).await;
        assert!(answers.iter().all(|answer| *answer == Err(expected)));
        assert!(claims < 50, "{claims} claims");
        assert!(start.elapsed() < TEN_SECONDS);
    }
}

#[tokio::test(start_paused = true)]
async fn the_waiters_of_one_event_share_the_failure_of_the_store() {
    let claims = Arc::new(AtomicUsize::new(0));
    let asked = claims.clone();
    let failing = FnStore::default().claim(move || {
        asked.fetch_add(1, Ordering::SeqCst);
        answer_after(Duration::from_secs(1), || Err(StoreError::new("gone")))
    });
    let start = Instant::now();
    let (answers, claims) = flood(failing, &claims).await;
    assert!(answers.iter().all(|answer| *answer == Err(Reply::StoreUnavailable)));
    assert_eq!((claims, start.elapsed().as_secs()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_hangs_up_leaves_the_claim_to_the_next() {
    let claims = Arc::new(AtomicUsize::new(0));
    let asked = claims.clone();
    let busy = FnStore::default().claim(move || {
        let claims = asked.fetch_add(1, Ordering::SeqCst);
        let is_first = claims == 0;
        let answer = move || if is_first { Ok(Claimed::InFlight) } else { acquired() };
        answer_after(Duration::from_millis(1), answer)
    });
    let bondify = builder().store(busy).build().unwrap();
    let request = confirmed();
    let mut first = Box::pin(handle(&bondify, &request, 200));
    assert!(tokio::time::timeout(Duration::from_millis(5), &mut first).await.is_err());
    let second = tokio::spawn({
        let (bondify, request) = (bondify.clone(), request.clone());
        async move { handle(&bondify, &request, 201).await }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert_eq!(second.await.unwrap(), Ok(201));
}

/// A store that answers claims after `delay` and renewals at once.
fn late(delay: Duration, is_held: bool) -> (FnStore, Arc<Mutex<Vec<&'static str>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (claims, renewals) = (calls.clone(), calls.clone());
    let store = FnStore::default()
        .claim(move || {
            claims.lock().unwrap().push("claim");
            answer_after(delay, acquired)
        })
        .renew(move || {
            renewals.lock().unwrap().push("renew");
            async move { Ok(is_held) }.boxed()
        });
    (store, calls)
}

#[tokio::test(start_paused = true)]
async fn a_lease_older_than_a_third_is_renewed_before_the_handler_starts() {
    for (millis, expected) in [(3000, &["claim"][..]), (3400, &["claim", "renew"])] {
        // The renewer runs first at 3333 ms, when no lease is held yet.
        let (store, calls) = late(Duration::from_millis(millis), true);
        let bondify = builder().store(store).lease(TEN_SECONDS).build().unwrap();
        let delivery = confirmed().receive_by(&bondify).await.unwrap();
        assert_eq!(*calls.lock().unwrap(), expected);
        drop(delivery);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_outlasted_its_lease_is_not_handled() {
    let (store, calls) = late(Duration::from_secs(2), false);
    let bondify = builder().store(store).lease(Duration::from_secs(1)).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::InFlight));
    assert_eq!(calls.lock().unwrap()[..3], ["claim", "renew", "claim"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_answered_after_it_was_given_up_is_released() {
    let (released, releases) = mpsc::channel();
    let late = FnStore::default()
        .claim(|| answer_after(Duration::from_secs(12), acquired))
        .release(move || {
            released.send(()).unwrap();
            async { Ok(true) }.boxed()
        });
    let bondify = builder().store(late).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::StoreUnavailable));
    bondify.drain(TEN_SECONDS).await.unwrap();
    releases.try_recv().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_a_release() {
    let (held, renewals) = mpsc::channel();
    let hanging = FnStore::default().release(|| pending().boxed()).renew(move || {
        held.send(()).unwrap();
        async { Ok(true) }.boxed()
    });
    let bondify = builder().store(hanging).build().unwrap();
    let start = Instant::now();
    assert_eq!(handle(&bondify, &confirmed(), 500).await, Ok(500));
    assert_eq!(start.elapsed(), Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(renewals.try_iter().count(), 0, "what is released is not renewed");
    bondify.drain(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_tried_again() {
    let (released, releases) = mpsc::channel();
    let flaky = FnStore::default().release(move || {
        released.send(()).unwrap();
        async { Err(StoreError::new("a blip")) }.boxed()
    });
    let bondify = builder().store(flaky).lease(TEN_SECONDS).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 500).await, Ok(500));
    bondify.drain(TEN_SECONDS).await.unwrap();
    let tried = releases.try_iter().count();
    assert!((5..20).contains(&tried), "{tried} times");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_neither_renewed_nor_released() {
    let (called, calls) = mpsc::channel();
    let renewed = called.clone();
    let losing = FnStore::default()
        .renew(move || {
            renewed.send("renewed").unwrap();
            async { Ok(false) }.boxed()
        })
        .release(move || {
            called.send("released").unwrap();
            async { Ok(true) }.boxed()
        });
    let bondify = builder().store(losing).lease(TEN_SECONDS).build().unwrap();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    let handler = async |_: Event| {
        tokio::time::sleep(6 * TEN_SECONDS).await;
        500
    };
    assert_eq!(delivery.run(handler, |&status| status).await, Ok(500));
    bondify.drain(TEN_SECONDS).await.unwrap();
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["renewed"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_that_is_claimed_again_is_renewed() {
    let (renewed, renewals) = mpsc::channel();
    let (mut is_held, mut is_lost) = (false, true);
    let store = FnStore::default()
        .renew(move || {
            renewed.send(()).unwrap();
            let was_held = std::mem::replace(&mut is_held, true);
            async move { Ok(was_held) }.boxed()
        })
        .complete(move |_| {
            let was_lost = std::mem::replace(&mut is_lost, false);
            let answer = if was_lost { Ok(false) } else { Err(StoreError::new("a blip")) };
            async move { answer }.boxed()
        });
    let bondify = builder().store(store).lease(TEN_SECONDS).build().unwrap();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    let handler = async |_: Event| {
        tokio::time::sleep(TEN_SECONDS / 2).await;
        200
    };
    assert_eq!(delivery.run(handler, |&status| status).await, Ok(200));
    tokio::time::sleep(3 * TEN_SECONDS).await;
    let renewals = renewals.try_iter().count();
    assert!((5..15).contains(&renewals), "{renewals} times");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_for_less_than_half_a_lease_loses_no_lease() {
    let start = Instant::now();
    let renewed = Arc::new(Mutex::new(start));
    let last = renewed.clone();
    let hanging = FnStore::default().renew(move || {
        let last = last.clone();
        let hang = Duration::from_secs(8).saturating_sub(start.elapsed());
        answer_after(hang, move || {
            *last.lock().unwrap() = Instant::now();
            Ok(true)
        })
    });
    let bondify = builder().store(hanging).lease(TEN_SECONDS).build().unwrap();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    tokio::time::sleep(TEN_SECONDS - Duration::from_millis(1)).await;
    assert!(*renewed.lock().unwrap() > start, "renewed before the lease ran out");
    drop(delivery);
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_fails_in_any_way_is_tried_again() {
    let (completed, completions) = mpsc::channel();
    let mut tries = 0;
    let flaky = FnStore::default().complete(move |_| {
        completed.send(()).unwrap();
        tries += 1;
        match tries {
            1 => answer_after(Duration::ZERO, || panic!("later")),
            2 => async { Err(StoreError::new("a blip")) }.boxed(),
            3 => async { panic!("at once") }.boxed(),
            4 => pending().boxed(),
            _ => async { Ok(true) }.boxed(),
        }
    });
    let bondify = builder().store(flaky).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
    bondify.drain(TEN_SECONDS).await.unwrap();
    assert_eq!(completions.try_iter().count(), 5);
}

/// A store that is silent from the first completion on, for `silence`. Its lease is lost meanwhile: then a
/// claim is answered with `claimed`, and a completion by the new lease with success.
fn silent(silence: Duration, claimed: Claimed) -> (FnStore, Arc<Mutex<Vec<&'static str>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let since = Arc::new(Mutex::new(None));
    let speaks = {
        let since = since.clone();
        move || since.lock().unwrap().is_none_or(|since: Instant| since.elapsed() >= silence)
    };
    let (mut claims, mut completions) = (0, 0);
    let (claiming, completing, renewing) = (calls.clone(), calls.clone(), speaks.clone());
    let store = FnStore::default()
        .claim({
            let speaks = speaks.clone();
            move || {
                claims += 1;
                claiming.lock().unwrap().push("claim");
                let answer = if claims == 1 { acquired() } else { Ok(claimed) };
                if speaks() { async { answer }.boxed() } else { pending().boxed() }
            }
        })
        .renew(move || if renewing() { async { Ok(false) }.boxed() } else { pending().boxed() })
        .complete(move |_| {
            completing.lock().unwrap().push("complete");
            since.lock().unwrap().get_or_insert_with(Instant::now);
            if !speaks() {
                return pending().boxed();
            }
            completions += 1;
            let is_held = completions > 1;
            async move { Ok(is_held) }.boxed()
        });
    (store, calls)
}

#[tokio::test(start_paused = true)]
async fn an_event_is_completed_after_a_silence_longer_than_its_lease() {
    for seconds in [3, 12, 25, 50] {
        let regained = Claimed::Acquired(LeaseToken::new(2));
        let (store, calls) = silent(Duration::from_secs(seconds), regained);
        let bondify = builder().store(store).lease(TEN_SECONDS).build().unwrap();
        assert_eq!(handle(&bondify, &confirmed(), 204).await, Ok(204));
        bondify.drain(Duration::from_secs(70)).await.unwrap();
        let calls = calls.lock().unwrap();
        assert_eq!(calls[calls.len() - 3..], ["complete", "claim", "complete"], "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_completion_ends_if_the_event_is_completed_or_held_by_another_delivery() {
    for claimed in [Claimed::Completed, Claimed::InFlight] {
        let (store, calls) = silent(Duration::from_secs(25), claimed);
        let bondify = builder().store(store).lease(TEN_SECONDS).build().unwrap();
        assert_eq!(handle(&bondify, &confirmed(), 204).await, Ok(204));
        bondify.drain(Duration::from_secs(35)).await.unwrap();
        let calls = calls.lock().unwrap();
        assert_eq!(calls[calls.len() - 2..], ["complete", "claim"], "{claimed:?}");
    }
}

/// Its lease has run out meanwhile, so that the store lets the duplicate have it.
#[tokio::test(start_paused = true)]
async fn a_duplicate_is_not_handled_while_the_event_is_still_being_completed() {
    let mut completions = 0;
    let store = FnStore::default().complete(move |_| {
        completions += 1;
        let answer = if completions > 6 { Ok(true) } else { Err(StoreError::new("gone")) };
        async { answer }.boxed()
    });
    let bondify = builder().store(store).build().unwrap();
    let request = confirmed();
    assert_eq!(handle(&bondify, &request, 204).await, Ok(204));
    for _ in 0..3 {
        assert_eq!(handle(&bondify, &request, 204).await, Err(Reply::Duplicate));
    }
    bondify.drain(Duration::from_secs(70)).await.unwrap();
    // This store forgets what was completed.
    assert_eq!(handle(&bondify, &request, 204).await, Ok(204));
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_may_hold_the_lease_continues() {
    let (completed_by, completed) = mpsc::channel();
    let mut claims = 0;
    let regained = Arc::new(AtomicUsize::new(0));
    let by = regained.clone();
    let store = FnStore::default()
        .claim(move || {
            claims += 1;
            match claims {
                1 => async { acquired() }.boxed(),
                2 => pending().boxed(), // it takes effect, but its answer is lost
                3..6 => async { Ok(Claimed::InFlight) }.boxed(),
                _ => {
                    by.store(claims, Ordering::SeqCst);
                    async { acquired() }.boxed()
                }
            }
        })
        .complete(move |_| {
            let is_held = regained.load(Ordering::SeqCst) > 0;
            completed_by.send(is_held).unwrap();
            async move { Ok(is_held) }.boxed()
        });
    let bondify = builder().store(store).lease(TEN_SECONDS).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 204).await, Ok(204));
    bondify.drain(Duration::from_secs(70)).await.unwrap();
    assert_eq!(completed.try_iter().last(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_its_completion_is_tried() {
    let (held, renewals) = mpsc::channel();
    let slow = FnStore::default()
        .complete(|_| answer_after(Duration::from_secs(4), || Ok(true)))
        .renew(move || {
            held.send(()).unwrap();
            async { Ok(true) }.boxed()
        });
    let bondify = builder().store(slow).lease(Duration::from_secs(3)).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
    assert!(renewals.try_iter().count() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_completion_is_tried_for_a_minute() {
    let (tried, tries) = mpsc::channel();
    let start = Instant::now();
    let dead = FnStore::default().complete(move |_| {
        tried.send(start.elapsed().as_secs()).unwrap();
        async { Err(StoreError::new("gone")) }.boxed()
    });
    let bondify = builder().store(dead).lease(Duration::from_secs(1)).build().unwrap();
    assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
    bondify.drain(Duration::from_secs(61)).await.unwrap();
    let tries: Vec<_> = tries.try_iter().collect();
    assert_eq!(tries.last(), Some(&59));
    assert!((60..700).contains(&tries.len()), "{} times", tries.len());
}

#[tokio::test]
async fn a_lost_lease_that_nobody_took_over_is_completed() {
    let store = ProbeStore::new(MemoryStore::new());
    store.ignore_renewals(true);
    let lease = Duration::from_millis(50);
    let bondify = builder().store(store.clone()).lease(lease).build().unwrap();
    let request = confirmed();
    let delivery = request.receive_by(&bondify).await.unwrap();
    let handler = async |_: Event| {
        tokio::time::sleep(2 * lease).await;
        200
    };
    assert_eq!(delivery.run(handler, |&status| status).await, Ok(200));
    assert!(store.calls().contains(&Call::Complete(false)));
    assert_eq!(handle(&bondify, &request, 200).await, Err(Reply::Duplicate));
}

#[tokio::test]
async fn a_store_that_panics_is_unavailable() {
    let at_once = FnStore::default().claim(|| panic!("at once"));
    let later = FnStore::default().claim(|| answer_after(Duration::ZERO, || panic!("later")));
    for panicking in [at_once, later] {
        let bondify = builder().store(panicking).build().unwrap();
        assert_eq!(handle(&bondify, &confirmed(), 200).await, Err(Reply::StoreUnavailable));
    }
}

#[tokio::test]
async fn a_panicking_status_function_counts_as_a_handler_panic() {
    let (bondify, store) = probed();
    let delivery = confirmed().receive_by(&bondify).await.unwrap();
    let status: fn(&u16) -> u16 = |_| panic!("no status");
    let handled = delivery.run(async |_: Event| 200, status).await;
    assert_eq!(handled, Err(Reply::HandlerPanicked));
    assert_eq!(store.calls().last(), Some(&Call::Release(true)));
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_the_release_of_an_abandoned_claim() {
    let (released, releases) = mpsc::channel();
    let slow = FnStore::default().claim(|| answer_after(Duration::from_secs(1), acquired)).release(
        move || {
            let released = released.clone();
            answer_after(Duration::from_secs(1), move || {
                released.send(()).unwrap();
                Ok(true)
            })
        },
    );
    let bondify = builder().store(slow).build().unwrap();
    assert!(confirmed().receive_by(&bondify).now_or_never().is_none()); // and hangs up
    bondify.drain(TEN_SECONDS).await.unwrap();
    releases.try_recv().unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_idle_once_nothing_is_left_to_the_background() {
    let (ended, ends) = mpsc::channel();
    let (released, mut completions) = (ended.clone(), 0);
    let store = FnStore::default()
        .complete(move |_| {
            completions += 1;
            let is_gone = completions < 4;
            ended.send(Call::Complete(!is_gone)).unwrap();
            async move { if is_gone { Err(StoreError::new("gone")) } else { Ok(true) } }.boxed()
        })
        .release(move || {
            let released = released.clone();
            answer_after(Duration::from_secs(1), move || {
                released.send(Call::Release(true)).unwrap();
                Ok(true)
            })
        });
    let bondify = builder().store(store).build().unwrap();
    for (status, end) in [(204, Call::Complete(true)), (500, Call::Release(true))] {
        assert_eq!(handle(&bondify, &confirmed(), status).await, Ok(status));
        assert_ne!(ends.try_iter().last(), Some(end), "the answer does not wait for it");
        bondify.idle().await;
        assert_eq!(ends.try_iter().last(), Some(end));
    }
}

#[tokio::test(start_paused = true)]
async fn duplicates_still_wait_after_it_was_idle() {
    let (bondify, _store) = probed();
    bondify.idle().await;
    let request = confirmed();
    let first = request.receive_by(&bondify).await.unwrap();
    let start = Instant::now();
    assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::InFlight);
    assert_eq!(start.elapsed(), Builder::DEFAULT_WAIT);
    drop(first);
}

fn current_thread() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A store that answers claims after a timer, as a store behind a network does.
fn remote() -> FnStore {
    FnStore::default().claim(|| answer_after(Duration::from_millis(1), acquired))
}

#[test]
fn it_can_be_built_before_there_is_a_runtime() {
    let bondify = builder().store(remote()).build().unwrap();
    assert_eq!(current_thread().block_on(handle(&bondify, &confirmed(), 200)), Ok(200));
}

#[test]
fn it_works_after_the_end_of_the_runtime_that_built_it() {
    let bondify = current_thread().block_on(async { builder().store(remote()).build().unwrap() });
    for _ in 0..2 {
        assert_eq!(current_thread().block_on(handle(&bondify, &confirmed(), 200)), Ok(200));
    }
}

#[test]
fn it_works_after_the_block_on_that_built_it() {
    let setup = current_thread();
    let lease = Duration::from_secs(3);
    for driven_for in [Duration::ZERO, lease / 2] {
        let bondify = setup.block_on(async {
            let bondify = builder().store(remote()).lease(lease).build().unwrap();
            tokio::time::sleep(driven_for).await;
            bondify
        });
        std::thread::sleep(driven_for); // and more than a turn of its renewer is missed
        current_thread().block_on(async {
            assert_eq!(handle(&bondify, &confirmed(), 200).await, Ok(200));
            bondify.drain(TEN_SECONDS).await.unwrap();
        });
    }
}

#[test]
fn leases_are_renewed_after_the_block_on_that_built_it() {
    let setup = current_thread();
    let store = ProbeStore::new(MemoryStore::new());
    let probed = builder().store(store.clone());
    let bondify = setup.block_on(async { probed.lease(Duration::from_secs(6)).build().unwrap() });
    let request = confirmed();
    current_thread().block_on(async {
        let delivery = request.receive_by(&bondify).await.unwrap();
        let handler = async move |_: Event| {
            store.until(1, |call| *call == Call::Renew(true)).await;
            200
        };
        let first = delivery.run(handler, |&status| status);
        let answers = tokio::join!(first, handle(&bondify, &request, 201));
        assert_eq!(answers, (Ok(200), Err(Reply::Duplicate)));
    });
}

#[test]
fn a_claim_dropped_after_its_runtime_blocks_its_event_for_a_lease_at_most() {
    let bondify = builder().lease(Duration::from_millis(100)).build().unwrap();
    let request = confirmed();
    // Dropped when there is no runtime to release it on.
    drop(current_thread().block_on(request.receive_by(&bondify)).unwrap());
    // Dropped by the end of its runtime, while the handler runs.
    current_thread().block_on(async {
        let delivery = request.receive_by(&bondify).await.unwrap();
        drop(delivery.run_to_completion(async |_: Event| pending::<u16>().await, |&status| status));
        tokio::task::yield_now().await;
    });
    assert_eq!(current_thread().block_on(handle(&bondify, &request, 200)), Ok(200));
}

#[test]
fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let home = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (bondify, store) = home.block_on(async {
        let store = ProbeStore::new(MemoryStore::new());
        let lease = Duration::from_secs(3);
        (builder().store(store.clone()).lease(lease).build().unwrap(), store)
    });
    let (renewed, block) = mpsc::channel();
    let probe = store.clone();
    home.spawn(async move {
        probe.until(4, |call| *call == Call::Renew(true)).await; // more than a lease
        renewed.send(()).unwrap();
    });
    let delivery = current_thread().block_on(confirmed().receive_by(&bondify)).unwrap();
    let handler = async |_: Event| {
        block.recv().unwrap();
        200
    };
    let handled = current_thread().block_on(delivery.run(handler, |&status| status));
    assert_eq!(handled.unwrap(), 200);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

/// A store that only checks its settings, after `delay`.
struct Checked {
    delay: Duration,
    advice: Result<&'static str, &'static str>,
}

#[async_trait]
impl DedupeStore for Checked {
    async fn claim(&self, _: &EventKey, _: Duration) -> Result<Claimed, StoreError> {
        acquired()
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
        Ok(true)
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        tokio::time::sleep(self.delay).await;
        self.advice.map(|advice| vec![advice.to_owned()]).map_err(StoreError::new)
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_returns_the_advice_of_the_store() {
    let checked = |advice| Checked { delay: Duration::from_secs(4), advice };
    let advice = "set maxmemory-policy to noeviction";
    for bondify in [
        builder().store(checked(Ok(advice))).build().unwrap(),
        builder().store(Arc::new(checked(Ok(advice)))).build().unwrap(),
        builder().store(ProbeStore::new(checked(Ok(advice)))).build().unwrap(),
    ] {
        assert_eq!(bondify.check().await.unwrap(), [advice]);
        let project = bondify.for_project("shop", secret(), []);
        assert_eq!(project.check().await.unwrap(), [advice]);
    }
    let failing = builder().store(checked(Err("gone"))).build().unwrap();
    let error = failing.check().await.unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_check_ends_at_the_time_out_of_a_store() {
    let silent = Checked { delay: Duration::from_secs(3600), advice: Ok("late") };
    let bondify = builder().store(silent).build().unwrap();
    let start = Instant::now();
    bondify.check().await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_check_without_advice_or_without_a_store_is_empty() {
    for bondify in [builder().build().unwrap(), builder().verify_only().build().unwrap()] {
        assert_eq!(bondify.check().await.unwrap(), [""; 0]);
    }
}

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// A store made of functions, for behaviour that a real store does not show on demand. By default, it
/// grants every claim and keeps every lease.
struct FnStore {
    claim: Mutex<Box<dyn FnMut() -> Answer<Claimed> + Send>>,
    renew: Mutex<Box<dyn FnMut() -> Answer<bool> + Send>>,
    complete: Mutex<Box<dyn FnMut(Duration) -> Answer<bool> + Send>>,
    release: Mutex<Box<dyn FnMut() -> Answer<bool> + Send>>,
}

impl Default for FnStore {
    fn default() -> Self {
        let held = || async { Ok(true) }.boxed();
        Self {
            claim: Mutex::new(Box::new(|| async { acquired() }.boxed())),
            renew: Mutex::new(Box::new(held)),
            complete: Mutex::new(Box::new(move |_| held())),
            release: Mutex::new(Box::new(held)),
        }
    }
}

impl FnStore {
    fn claim(mut self, claim: impl FnMut() -> Answer<Claimed> + Send + 'static) -> Self {
        self.claim = Mutex::new(Box::new(claim));
        self
    }

    fn renew(mut self, renew: impl FnMut() -> Answer<bool> + Send + 'static) -> Self {
        self.renew = Mutex::new(Box::new(renew));
        self
    }

    fn complete(mut self, complete: impl FnMut(Duration) -> Answer<bool> + Send + 'static) -> Self {
        self.complete = Mutex::new(Box::new(complete));
        self
    }

    fn release(mut self, release: impl FnMut() -> Answer<bool> + Send + 'static) -> Self {
        self.release = Mutex::new(Box::new(release));
        self
    }
}

fn acquired() -> Result<Claimed, StoreError> {
    Ok(Claimed::Acquired(LeaseToken::new(1)))
}

fn answer_after<T: 'static>(
    time: Duration,
    answer: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Answer<T> {
    let answering = async move {
        tokio::task::yield_now().await;
        tokio::time::sleep(time).await;
        answer()
    };
    answering.boxed()
}

#[async_trait]
impl DedupeStore for FnStore {
    async fn claim(&self, _: &EventKey, _: Duration) -> Result<Claimed, StoreError> {
        let answer = (self.claim.lock().unwrap())();
        answer.await
    }

    async fn renew(&self, _: &EventKey, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        let answer = (self.renew.lock().unwrap())();
        answer.await
    }

    async fn complete(
        &self,
        _: &EventKey,
        _: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let answer = (self.complete.lock().unwrap())(retention);
        answer.await
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        let answer = (self.release.lock().unwrap())();
        answer.await
    }
}
