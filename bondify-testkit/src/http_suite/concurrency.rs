use std::time::Duration;

use super::{
    adapter::Adapter,
    rig::{LONG, Rig, assert_handled, assert_reply, confirmed, response},
};
use crate::{Connection, Step};

/// Begins `count` deliveries of one event: the first runs a held handler, the others wait for it.
async fn begin_concurrently<const N: usize>(rig: &Rig, held: Step) -> [Connection; N] {
    rig.script.then([held]);
    let request = confirmed();
    let mut connections = vec![rig.begin(&request).await];
    rig.script.started(1).await;
    for _ in 1..N {
        connections.push(rig.begin(&request).await);
    }
    rig.running(N).await;
    connections.try_into().expect("there are N connections")
}

async fn run_it_once<A: Adapter, const N: usize>() {
    let rig = Rig::start::<A>().await;
    let mut connections = begin_concurrently::<N>(&rig, Step::held(200)).await.into_iter();
    rig.script.resume(1);
    assert_handled(&response(connections.next().expect("there is one")).await);
    for connection in connections {
        assert_reply(&response(connection).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 1);
}

/// The second delivery waits for the first and is answered as a duplicate.
pub async fn two_concurrent_deliveries_run_it_once<A: Adapter>() {
    run_it_once::<A, 2>().await;
}

/// All other deliveries wait for the first and are answered as duplicates.
pub async fn fifty_concurrent_deliveries_run_it_once<A: Adapter>() {
    run_it_once::<A, 50>().await;
}

/// The handler runs again for one of the waiting deliveries.
pub async fn a_waiting_duplicate_takes_over_after_a_failure<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let connections = begin_concurrently::<3>(&rig, Step::held(500)).await;
    rig.script.resume(1);
    let mut answers = Vec::new();
    for connection in connections {
        let response = response(connection).await;
        answers.push((response.status, response.code()));
    }
    answers.sort();
    let duplicate = (200, Some("DUPLICATE".to_owned()));
    assert_eq!(answers, [(200, None), duplicate, (500, None)]);
    assert_eq!(rig.runs(), 2);
}

/// The response has `Retry-After` and comes before Bondify's time-out.
pub async fn a_waiting_duplicate_is_answered_with_409_after_the_wait<A: Adapter>() {
    let rig = Rig::with::<A>(|builder| builder.wait(Duration::from_millis(50))).await;
    let [first, second] = begin_concurrently(&rig, Step::held(200)).await;
    assert_reply(&response(second).await, 409, "IN_FLIGHT");
    rig.script.resume(1);
    assert_handled(&response(first).await);
    assert_eq!(rig.runs(), 1);
}

/// A delivery waits for deliveries of the same event only.
pub async fn different_events_do_not_wait_for_each_other<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let [held] = begin_concurrently(&rig, Step::held(200)).await;
    assert_handled(&rig.post(&confirmed()).await);
    rig.script.resume(1);
    assert_handled(&response(held).await);
}

/// `drain` returns an error if the time runs out first.
pub async fn draining_waits_for_the_running_handler<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let [held] = begin_concurrently(&rig, Step::held(200)).await;
    let too_short =
        rig.bondify.drain(Duration::from_millis(20)).await.expect_err("the handler is held");
    assert_eq!(too_short.running, 1);
    let drain = rig.bondify.drain(LONG);
    rig.script.resume(1);
    drain.await.expect("the handler ended");
    assert_eq!(rig.script.progress().finished, 1);
    assert_handled(&response(held).await);
}

/// With 409, so that Bondify retries them after the restart.
pub async fn draining_answers_waiting_duplicates_with_409<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let [first, second] = begin_concurrently(&rig, Step::held(200)).await;
    let (drained, ()) = tokio::join!(rig.bondify.drain(LONG), async {
        assert_reply(&response(second).await, 409, "IN_FLIGHT");
        rig.script.resume(1);
    });
    drained.expect("the handler ended");
    assert_handled(&response(first).await);
}
