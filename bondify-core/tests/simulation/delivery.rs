use std::{
    panic::{AssertUnwindSafe, panic_any},
    sync::{Arc, Mutex},
    time::Duration,
};

use bondify_core::{Bondify, Event, EventKey, HandleError, Handled, LeaseToken, Reply};
use bondify_testkit::Delivery;
use fastrand::Rng;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep, timeout};

use crate::{Simulated, world::Scene};

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time in which a delivery is decided: a second before Bondify's time-out, plus the timers' precision.
const IN_TIME: Duration = Duration::from_millis(9100);

/// The time that the answer of a handler may wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The precision of timers, with a margin.
const TICK: Duration = Duration::from_millis(2);

/// A delivery with its retries.
#[derive(Clone)]
pub(crate) struct Plan {
    event: usize,
    pub(crate) receiver: usize,
    delay: Duration,
    pauses: [Duration; 3],
    attempts: [Attempt; 4],
}

#[derive(Clone, Copy)]
struct Attempt {
    way: Way,
    handler_takes: Duration,
    outcome: Outcome,
    hangs_up_after: Duration,
}

/// The ways in which adapters handle a delivery, and the way without HTTP.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Run,
    RunToCompletion,
    Parts,
    Handle,
}

#[derive(Clone, Copy)]
enum Outcome {
    Succeeds,
    Fails,
    Panics,
}

#[derive(Debug)]
pub(crate) enum Decided {
    Handled,
    Failed,
    Replied(Reply),
    HungUp,
}

impl Plan {
    pub(crate) fn random(event: usize, rng: &mut Rng) -> Self {
        let seconds =
            |rng: &mut Rng, at_most: u64| Duration::from_millis(rng.u64(..=1000 * at_most));
        Self {
            event,
            receiver: rng.usize(..2),
            delay: if rng.bool() { Duration::ZERO } else { seconds(rng, 30) },
            pauses: [1, 2, 4].map(|pause| seconds(rng, 2 * pause)),
            attempts: [(); 4].map(|()| Attempt {
                way: *rng
                    .choice(&[Way::Run, Way::RunToCompletion, Way::Parts, Way::Handle])
                    .unwrap(),
                handler_takes: match rng.u32(..4) {
                    0 | 1 => Duration::ZERO,
                    2 => seconds(rng, 1),
                    _ => seconds(rng, 40),
                },
                outcome: match rng.u32(..10) {
                    0..6 => Outcome::Succeeds,
                    6..9 => Outcome::Fails,
                    _ => Outcome::Panics,
                },
                hangs_up_after: if rng.u32(..5) == 0 { seconds(rng, 10) } else { DELIVERY_TIMEOUT },
            }),
        }
    }

    /// One attempt of a handler that succeeds at once.
    pub(crate) fn plain(event: usize) -> Self {
        let attempt = Attempt {
            way: Way::RunToCompletion,
            handler_takes: Duration::ZERO,
            outcome: Outcome::Succeeds,
            hangs_up_after: DELIVERY_TIMEOUT,
        };
        let (delay, pauses) = (Duration::ZERO, [Duration::ZERO; 3]);
        Self { event, receiver: 0, delay, pauses, attempts: [attempt; 4] }
    }
}

/// Delivers as Bondify does: up to four times, until an attempt succeeds.
pub(crate) async fn deliver(scene: Scene, bondify: Bondify, plan: Plan) {
    sleep(plan.delay).await;
    for number in 0..4 {
        let decided = attempt(scene.clone(), bondify.clone(), plan.clone(), number).await;
        if matches!(decided, Decided::Handled | Decided::Replied(Reply::Duplicate)) {
            return;
        }
        if let Some(pause) = plan.pauses.get(number) {
            sleep(*pause).await;
        }
    }
}

/// Makes one of the attempts of a plan.
pub(crate) async fn attempt(scene: Scene, bondify: Bondify, plan: Plan, number: usize) -> Decided {
    let attempt = plan.attempts[number];
    let handled = handle(&scene, &bondify, plan.event, attempt);
    timeout(attempt.hangs_up_after, handled).await.unwrap_or(Decided::HungUp)
}

async fn handle(scene: &Scene, bondify: &Bondify, event: usize, attempt: Attempt) -> Decided {
    let ended = Arc::new(Mutex::new(None));
    let handler = handler(scene.clone(), attempt, ended.clone());
    let handled = if attempt.way == Way::Handle {
        without_http(bondify, scene.event(event), handler).await
    } else {
        let received = timeout(IN_TIME, scene.requests[event].receive_by(bondify)).await;
        match received {
            Ok(Ok(delivery)) => run(attempt.way, delivery, handler).await,
            Ok(Err(reply)) => Err(reply),
            Err(_) => {
                scene.judge().violation(format!("a delivery of {event} is not decided in time"));
                return Decided::HungUp;
            }
        }
    };
    let waited = ended.lock().unwrap().map_or(Duration::ZERO, |ended: Instant| ended.elapsed());
    let may_wait = if handled == Ok(200) { STORE_TIMEOUT } else { Duration::ZERO };
    if waited > may_wait + TICK {
        scene.judge().violation(format!("{handled:?} to {event} waited for {waited:?}"));
    }
    match handled {
        Ok(200) => Decided::Handled,
        Ok(_) | Err(Reply::HandlerPanicked) => Decided::Failed,
        Err(reply) => Decided::Replied(reply),
    }
}

async fn run(
    way: Way,
    delivery: Delivery,
    handler: impl FnOnce(Event) -> BoxFuture<'static, u16>,
) -> Result<u16, Reply> {
    let status = |status: &u16| *status;
    match way {
        Way::Run => delivery.run(handler, status).await,
        Way::Parts => in_parts(delivery, handler).await,
        Way::RunToCompletion | Way::Handle => delivery.run_to_completion(handler, status).await,
    }
}

async fn without_http(
    bondify: &Bondify,
    event: Event,
    handler: impl FnOnce(Event) -> BoxFuture<'static, u16>,
) -> Result<u16, Reply> {
    let handler =
        |event| handler(event).map(|status| if status == 200 { Ok(status) } else { Err(status) });
    match bondify.handle(event, handler).await {
        Ok(Handled::Now(status)) | Err(HandleError::Handler(status)) => Ok(status),
        Ok(Handled::Duplicate) => Err(Reply::Duplicate),
        Err(HandleError::InFlight) => Err(Reply::InFlight),
        Err(HandleError::StoreUnavailable(_)) => Err(Reply::StoreUnavailable),
        Err(HandleError::Panicked) => Err(Reply::HandlerPanicked),
        Err(error) => panic!("an event of this world: {error}"),
    }
}

/// Handles the delivery as a framework does whose guards cannot wrap the handler.
async fn in_parts<F: Future<Output = u16>>(
    delivery: Delivery,
    handler: impl FnOnce(Event) -> F,
) -> Result<u16, Reply> {
    let (event, claim) = delivery.into_parts();
    let handling = AssertUnwindSafe(async { handler(event).await });
    match handling.catch_unwind().await {
        Ok(status) => {
            claim.settle(status).await;
            Ok(status)
        }
        Err(_panic) => {
            claim.panicked();
            Err(Reply::HandlerPanicked)
        }
    }
}

/// The handler of an attempt. It stores the time of its end in `ended`.
fn handler(
    scene: Scene,
    attempt: Attempt,
    ended: Arc<Mutex<Option<Instant>>>,
) -> impl FnOnce(Event) -> BoxFuture<'static, u16> {
    move |event| {
        let mut run = Run::start(scene, &event, ended);
        async move {
            sleep(attempt.handler_takes).await;
            match attempt.outcome {
                Outcome::Succeeds => {
                    run.succeed();
                    200
                }
                Outcome::Fails => 500,
                Outcome::Panics => panic_any(Simulated),
            }
        }
        .boxed()
    }
}

/// A running handler, until it ends or is cancelled.
struct Run {
    scene: Scene,
    key: EventKey,
    token: Option<LeaseToken>,
    has_succeeded: bool,
    ended: Arc<Mutex<Option<Instant>>>,
}

impl Run {
    fn start(scene: Scene, event: &Event, ended: Arc<Mutex<Option<Instant>>>) -> Self {
        let key = event.key();
        let lease = scene.store.lease(&key);
        let token = lease.as_ref().map(|lease| lease.token);
        let event = event.session_token().unwrap().parse().unwrap();
        scene.judge().starts(event, key, lease);
        Self { scene, key, token, has_succeeded: false, ended }
    }

    fn succeed(&mut self) {
        self.has_succeeded = true;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        *self.ended.lock().unwrap() = Some(Instant::now());
        self.scene.judge().ends(self.key, self.token, self.has_succeeded);
    }
}
