use std::{
    collections::HashMap,
    future::pending,
    panic::panic_any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::{Simulated, judge::Judge};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Claim,
    Renew,
    Complete,
    Release,
}

/// The behaviour of each operation, in the order of [`Operation`].
#[derive(Clone, Debug)]
pub(crate) struct Faults([Behaviour; 4]);

/// Percentages of the calls.
#[derive(Clone, Debug)]
struct Behaviour {
    fails: u32,
    is_slow: u32,
}

impl Faults {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self([(); 4].map(|()| Behaviour {
            fails: *rng.choice(&[0, 0, 5, 30, 60]).unwrap(),
            is_slow: *rng.choice(&[0, 0, 5, 30]).unwrap(),
        }))
    }
}

/// The fate of one call.
struct Fate {
    /// The time until the engine executes the call, and the time from then to its answer.
    delays: [Duration; 2],
    failure: Option<Failure>,
}

#[derive(Clone, Copy)]
struct Failure {
    /// `true` if the engine executes the call although it fails.
    takes_effect: bool,
    kind: FailureKind,
}

#[derive(Clone, Copy)]
enum FailureKind {
    Error,
    Panic,
    Hang,
}

/// A correct store behind an unreliable network.
#[derive(Clone)]
pub(crate) struct SimulatedStore(Arc<State>);

struct State {
    faults: Faults,
    is_well: AtomicBool,
    rng: Mutex<Rng>,
    engine: Arc<Mutex<Engine>>,
    judge: Arc<Mutex<Judge>>,
}

#[derive(Default)]
struct Engine {
    tokens: u64,
    entries: HashMap<EventKey, Entry>,
}

struct Entry {
    /// `None`: completed.
    token: Option<LeaseToken>,
    expires: Instant,
}

impl SimulatedStore {
    pub(crate) fn new(faults: Faults, rng: Rng, judge: Arc<Mutex<Judge>>) -> Self {
        let (rng, engine) = (Mutex::new(rng), Arc::default());
        Self(Arc::new(State { faults, is_well: AtomicBool::default(), rng, engine, judge }))
    }

    /// Lets every call succeed from now on. Calls that hang continue to hang.
    pub(crate) fn recover(&self) {
        self.0.is_well.store(true, Relaxed);
    }

    /// The lease on `key` and its remaining time.
    pub(crate) fn lease(&self, key: &EventKey) -> Option<(LeaseToken, Duration)> {
        let engine = self.0.engine.lock().unwrap();
        let entry = engine.entries.get(key)?;
        Some((entry.token?, entry.expires.saturating_duration_since(Instant::now())))
    }

    /// Executes a call on the engine, even if the caller is dropped meanwhile.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        token: Option<&LeaseToken>,
        execute: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let Fate { delays: [before, after], failure } = self.fate(operation);
        let is_late = before + after;
        if let Some(token) = token {
            self.0.judge.lock().unwrap().called(operation, *token, failure.is_some(), is_late);
        }
        let engine = self.0.engine.clone();
        let executed = async move {
            sleep_if(before).await;
            execute(&mut engine.lock().unwrap())
        };
        let answer = match failure {
            None => tokio::spawn(executed).await.unwrap(),
            Some(Failure { takes_effect, kind }) => {
                if takes_effect {
                    tokio::spawn(executed).await.unwrap();
                }
                match kind {
                    FailureKind::Error => return Err(StoreError::new("simulated")),
                    FailureKind::Panic => panic_any(Simulated),
                    FailureKind::Hang => return pending().await,
                }
            }
        };
        sleep_if(after).await;
        Ok(answer)
    }

    fn fate(&self, operation: Operation) -> Fate {
        let (mut rng, state) = (self.0.rng.lock().unwrap(), &self.0);
        let delay = |rng: &mut Rng, longest: u64| Duration::from_millis(rng.u64(0..longest));
        if state.is_well.load(Relaxed) {
            return Fate { delays: [delay(&mut rng, 5), Duration::ZERO], failure: None };
        }
        let Behaviour { fails, is_slow } = state.faults.0[operation as usize];
        let failure = (rng.u32(..100) < fails).then(|| Failure {
            takes_effect: rng.bool(),
            kind: *rng
                .choice(&[FailureKind::Error, FailureKind::Panic, FailureKind::Hang])
                .unwrap(),
        });
        let delays = if rng.u32(..100) < is_slow {
            [delay(&mut rng, 5000), delay(&mut rng, 5000)]
        } else {
            [delay(&mut rng, 5), delay(&mut rng, 5)]
        };
        Fate { delays, failure }
    }
}

async fn sleep_if(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

impl Engine {
    fn claim(&mut self, key: EventKey, lease: Duration) -> Claimed {
        let now = Instant::now();
        match self.entries.get(&key).filter(|entry| entry.expires > now) {
            Some(Entry { token: Some(_), .. }) => Claimed::InFlight,
            Some(Entry { token: None, .. }) => Claimed::Completed,
            None => {
                self.tokens += 1;
                let token = LeaseToken::new(self.tokens);
                self.entries.insert(key, Entry { token: Some(token), expires: now + lease });
                Claimed::Acquired(token)
            }
        }
    }

    fn change(&mut self, key: EventKey, token: LeaseToken, to: Option<Entry>) -> bool {
        let now = Instant::now();
        let held = |entry: &Entry| entry.token == Some(token) && entry.expires > now;
        let is_held = self.entries.get(&key).is_some_and(held);
        if is_held {
            match to {
                Some(entry) => drop(self.entries.insert(key, entry)),
                None => drop(self.entries.remove(&key)),
            }
        }
        is_held
    }
}

#[async_trait]
impl DedupeStore for SimulatedStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let key = *key;
        let claim = move |engine: &mut Engine| engine.claim(key, lease);
        let claimed = self.call(Operation::Claim, None, claim).await?;
        if let Claimed::Acquired(token) = claimed {
            self.0.judge.lock().unwrap().acquired(token);
        }
        Ok(claimed)
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let (key, holder) = (*key, *token);
        let renew = move |engine: &mut Engine| {
            let expires = Instant::now() + lease;
            engine.change(key, holder, Some(Entry { token: Some(holder), expires }))
        };
        let is_held = self.call(Operation::Renew, Some(token), renew).await?;
        if !is_held {
            self.0.judge.lock().unwrap().lost(*token);
        }
        Ok(is_held)
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let (key, holder) = (*key, *token);
        let complete = move |engine: &mut Engine| {
            let expires = Instant::now() + retention;
            engine.change(key, holder, Some(Entry { token: None, expires }))
        };
        self.call(Operation::Complete, Some(token), complete).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let (key, holder) = (*key, *token);
        let release = move |engine: &mut Engine| engine.change(key, holder, None);
        self.call(Operation::Release, Some(token), release).await
    }
}
