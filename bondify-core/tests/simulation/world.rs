use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use bondify_core::{Bondify, Event, Secret, Verifier};
use bondify_testkit::{Payload, WebhookRequest};
use fastrand::Rng;
use tokio::{
    runtime,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    delivery::{Plan, attempt, deliver},
    judge::Judge,
    store::{Faults, SimulatedStore},
};

/// Once the store works again, everything in flight has ended after this time.
const AFTERMATH: Duration = Duration::from_secs(200);

pub(crate) struct World {
    pub(crate) seed: u64,
    lease: Duration,
    wait: Duration,
    faults: Faults,
    events: usize,
    plans: Vec<Plan>,
    rng: Rng,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lease = pick(&mut rng, &[1, 3, 10]);
        let wait = pick(&mut rng, &[0, 2, 8]);
        let events = rng.usize(1..=6);
        let faults = Faults::random(&mut rng);
        let plans = (0..events).chain((0..events).filter(|_| rng.bool()).collect::<Vec<_>>());
        let plans = plans.collect::<Vec<_>>();
        let plans = plans.into_iter().map(|event| Plan::random(event, &mut rng)).collect();
        Self { seed, lease, wait, faults, events, plans, rng }
    }

    pub(crate) fn deliveries(&self) -> usize {
        self.plans.len()
    }

    /// Runs the world, and returns the violated guarantees.
    pub(crate) fn run(self) -> Vec<String> {
        let mut runtime = runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(self.live())
    }

    async fn live(self) -> Vec<String> {
        let scene = Scene::new(&self);
        let receivers = [(); 2].map(|()| scene.receiver(&self));
        let mut deliveries = JoinSet::new();
        for plan in self.plans {
            let bondify = receivers[plan.receiver].clone();
            deliveries.spawn(deliver(scene.clone(), bondify, plan));
        }
        deliveries.join_all().await;

        scene.store.recover();
        sleep(AFTERMATH).await;
        for event in 0..self.events {
            let plan = Plan::plain(event);
            let decided = attempt(scene.clone(), receivers[0].clone(), plan.clone(), 0).await;
            scene.judge().in_the_end(event, decided);
        }
        for bondify in receivers {
            if let Err(error) = bondify.drain(Duration::from_secs(1)).await {
                scene.judge().violation(format!("something never ends: {error}"));
            }
        }
        scene.judge().violations()
    }
}

fn pick(rng: &mut Rng, seconds: &[u64]) -> Duration {
    Duration::from_secs(*rng.choice(seconds).unwrap())
}

/// The state that all parts of a world share.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) store: SimulatedStore,
    pub(crate) requests: Arc<Vec<WebhookRequest>>,
    judge: Arc<Mutex<Judge>>,
}

impl Scene {
    fn new(world: &World) -> Self {
        let request = |event: usize| {
            Payload::confirmed().session_token(event.to_string()).at(now()).signed_with(&secret())
        };
        let judge = Arc::new(Mutex::new(Judge::new(world.lease)));
        let store = SimulatedStore::new(world.faults.clone(), world.rng.clone(), judge.clone());
        Self { store, requests: Arc::new((0..world.events).map(request).collect()), judge }
    }

    fn receiver(&self, world: &World) -> Bondify {
        let builder = Bondify::builder(secret()).store(self.store.clone());
        builder.lease(world.lease).wait(world.wait).clock(now).build().unwrap()
    }

    pub(crate) fn event(&self, event: usize) -> Event {
        let request = &self.requests[event];
        let verifier = Verifier::new(secret()).clock(now);
        verifier.verify(request.body().clone(), request.signature()).unwrap()
    }

    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

/// The time since `start` in milliseconds, for reports.
pub(crate) fn since(start: Instant) -> u128 {
    start.elapsed().as_millis()
}
