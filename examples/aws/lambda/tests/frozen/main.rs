//! The function as Lambda runs it: in processes that are frozen once they have answered, and killed at any time. How often
//! each event is handled is counted.

#![allow(clippy::print_stdout, reason = "the figures of a run")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod lambda;

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Instant,
};

use bondify_core::Secret;
use bondify_testkit::{Payload, WebhookRequest, engine_url};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::{
    faults::{Call, Faults},
    lambda::Instance,
};

const SECRET: &str = "whsec_test";

/// Bondify delivers an event up to four times.
const ATTEMPTS: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_handled_once_although_the_store_fails_and_processes_are_frozen() {
    let Some(function) = Function::start().await else { return };
    let instances =
        [function.instance().await, function.instance().await, function.instance().await];
    function.faults.of_all_calls(4);
    let mut deliveries: VecDeque<_> = (0..200).map(|_| (delivery(), ATTEMPTS)).collect();
    deliveries.extend(deliveries.clone()); // each has a duplicate
    fastrand::shuffle(deliveries.make_contiguous());
    let deliveries = Mutex::new(deliveries);
    let (times, given_up) = (Mutex::new(Vec::new()), Mutex::new(0));

    let work = async |instance: &Instance| {
        while let Some((delivery, attempts)) = pop(&deliveries) {
            let start = Instant::now();
            let (status, _body) = instance.invoke(&delivery).await;
            times.lock().unwrap().push(start.elapsed());
            match attempts - 1 {
                _ if status < 300 => {}
                0 => *given_up.lock().unwrap() += 1,
                left => deliveries.lock().unwrap().push_back((delivery, left)),
            }
        }
    };
    let [a, b, c] = &instances;
    tokio::join!(work(a), work(b), work(c));

    let initialised_in = instances.each_ref().map(|instance| instance.initialised_in);
    let counts = function.counts(instances).await;
    let doubled = counts.values().filter(|count| **count > 1).count();
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    println!(
        "initialised in {:?}; {} invocations, median {:?}, longest {:?}; {} handled, {doubled} doubled, \
         {} deliveries given up",
        initialised_in,
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1],
        counts.len(),
        given_up.into_inner().unwrap(),
    );
    assert_eq!((counts.len(), doubled), (200, 0));
}

/// If it were left to the background, it would be frozen, and the event be handled again once its lease has run out.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_completed_before_the_answer_although_the_store_fails_for_seconds() {
    let Some(function) = Function::start().await else { return };
    let (first, second) = (function.instance().await, function.instance().await);
    let delivery = delivery();
    function.faults.refuse_completions(7); // the SDK calls three times before it returns an error
    assert_eq!(first.invoke(&delivery).await.0, 204);
    assert_eq!(function.faults.completions_to_refuse(), 0);
    let (status, body) = second.invoke(&delivery).await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"duplicate"}"#));
    assert_eq!(function.counts([first, second]).await.into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_loses_nothing() {
    for (call, handled) in [(Call::Claim, 1), (Call::Completion, 2)] {
        let Some(function) = Function::start().await else { return };
        let mut killed = function.instance().await;
        let delivery = delivery();
        function.faults.hold(call, true);
        let kill = async {
            function.faults.until_held().await;
            function.faults.hold(call, false);
        };
        tokio::select! {
            answer = killed.invoke(&delivery) => panic!("{answer:?}"),
            () = kill => killed.kill(),
        }
        let retry = function.instance().await;
        let start = Instant::now();
        let mut answers = Vec::new();
        for _ in 1..ATTEMPTS {
            answers.push(retry.invoke(&delivery).await.0);
        }
        println!("after a kill: {answers:?} in {:?}", start.elapsed());
        assert_eq!(answers[answers.len() - 1], 200, "{answers:?}");
        // The effect of a handler whose completion did not arrive is doubled.
        assert_eq!(
            function.counts([killed, retry]).await.into_values().collect::<Vec<_>>(),
            [handled]
        );
    }
}

/// A function and what it has handled.
struct Function {
    url: String,
    faults: Faults,
    handled: UnboundedSender<String>,
    events: UnboundedReceiver<String>,
}

impl Function {
    async fn start() -> Option<Self> {
        let (faults, url) = Faults::of(engine_url("BONDIFY_TEST_DYNAMODB_URL")?).await;
        let (handled, events) = unbounded_channel();
        Some(Self { url, faults, handled, events })
    }

    async fn instance(&self) -> Instance {
        Instance::start(&self.url, self.handled.clone()).await
    }

    /// Ends all instances. Returns how often each event was handled.
    async fn counts<const N: usize>(mut self, instances: [Instance; N]) -> HashMap<String, u32> {
        drop((instances, self.handled));
        let mut counts = HashMap::new();
        while let Some(event) = self.events.recv().await {
            *counts.entry(event).or_default() += 1;
        }
        counts
    }
}

fn delivery() -> WebhookRequest {
    Payload::confirmed().signed_with(&Secret::new(SECRET).unwrap())
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap().pop_front()
}
