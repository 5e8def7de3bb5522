use std::{
    collections::{HashMap, HashSet},
    future::pending,
    ops::Range,
    panic::panic_any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use fastrand::Rng;
use tokio::{
    task,
    time::{Instant, sleep},
};

use crate::{Simulated, judge::Judge};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Claim,
    Renew,
    Complete,
    Release,
}

/// The faults of a store.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// In the order of [`Operation`].
    behaviours: [Behaviour; 4],
    /// The times, since the start of the world, in which no call is answered.
    silences: Vec<Range<Duration>>,
}

/// Percentages of the calls.
#[derive(Clone, Debug)]
struct Behaviour {
    fails: u32,
    is_slow: u32,
}

impl Faults {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let behaviours = [(); 4].map(|()| Behaviour {
            fails: *rng.choice(&[0, 0, 5, 30, 60]).unwrap(),
            is_slow: *rng.choice(&[0, 0, 5, 30]).unwrap(),
        });
        let silences = (0..*rng.choice(&[0, 1, 3]).unwrap()).map(|_| {
            let start = Duration::from_millis(rng.u64(..60_000));
            start..start + Duration::from_secs(*rng.choice(&[2, 12, 25, 45, 100]).unwrap())
        });
        Self { behaviours, silences: silences.collect() }
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
    start: Instant,
    faults: Faults,
    is_well: AtomicBool,
    rng: Mutex<Rng>,
    /// The tasks in which a completion was told that its lease is lost. Their claims are for completions.
    completing: Mutex<HashSet<task::Id>>,
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
    claimed: Claim,
}

/// The claim that created an entry.
#[derive(Clone, Copy)]
struct Claim {
    at: Instant,
    /// `true` if a delivery claimed the key again to complete it.
    to_complete: bool,
}

/// A lease when its handler starts.
pub(crate) struct Started {
    pub(crate) token: LeaseToken,
    pub(crate) claimed: Instant,
    pub(crate) left: Duration,
}

impl SimulatedStore {
    pub(crate) fn new(faults: Faults, rng: Rng, judge: Arc<Mutex<Judge>>) -> Self {
        Self(Arc::new(State {
            start: Instant::now(),
            faults,
            is_well: AtomicBool::default(),
            rng: Mutex::new(rng),
            completing: Mutex::default(),
            engine: Arc::default(),
            judge,
        }))
    }

    /// Lets every call succeed from now on. Calls that hang continue to hang.
    pub(crate) fn recover(&self) {
        self.0.is_well.store(true, Relaxed);
    }

    /// The lease on `key`.
    pub(crate) fn lease(&self, key: &EventKey) -> Option<Started> {
        let engine = self.0.engine.lock().unwrap();
        let entry = engine.entries.get(key)?;
        let left = entry.expires.saturating_duration_since(Instant::now());
        Some(Started { token: entry.token?, claimed: entry.claimed.at, left })
    }

    /// `true` if the current task claims to complete.
    fn is_completing(&self) -> bool {
        task::try_id().is_some_and(|task| self.0.completing.lock().unwrap().contains(&task))
    }

    /// Executes a call on the engine, even if the caller is dropped meanwhile.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        key: EventKey,
        token: Option<&LeaseToken>,
        execute: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let Fate { delays: [before, after], failure } = self.fate(operation);
        let (fails, takes) = (failure.is_some(), before + after);
        match token {
            Some(token) => {
                self.0.judge.lock().unwrap().called(operation, key, *token, fails, takes);
            }
            None if self.is_completing() => self.0.judge.lock().unwrap().completing(key),
            None => {}
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
        let now = state.start.elapsed();
        if state.faults.silences.iter().any(|silence| silence.contains(&now)) {
            let failure = Failure { takes_effect: rng.bool(), kind: FailureKind::Hang };
            return Fate { delays: [Duration::ZERO; 2], failure: Some(failure) };
        }
        let Behaviour { fails, is_slow } = state.faults.behaviours[operation as usize];
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
    fn claim(&mut self, key: EventKey, lease: Duration, to_complete: bool) -> Claimed {
        let now = Instant::now();
        match self.entries.get(&key).filter(|entry| entry.expires > now) {
            Some(Entry { token: Some(_), .. }) => Claimed::InFlight,
            Some(Entry { token: None, .. }) => Claimed::Completed,
            None => {
                self.tokens += 1;
                let token = LeaseToken::new(self.tokens);
                let claimed = Claim { at: now, to_complete };
                let entry = Entry { token: Some(token), expires: now + lease, claimed };
                self.entries.insert(key, entry);
                Claimed::Acquired(token)
            }
        }
    }

    /// Changes the entry of `key` if `token` holds its lease. Removes it if `to` is `None`.
    fn change(&mut self, key: EventKey, token: LeaseToken, to: Option<To>) -> bool {
        let now = Instant::now();
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        if entry.token != Some(token) || entry.expires <= now {
            return false;
        }
        match to {
            Some((token, duration)) => (entry.token, entry.expires) = (token, now + duration),
            None => drop(self.entries.remove(&key)),
        }
        true
    }

    /// `true` if the lease of `key` was claimed to complete the event.
    fn is_held_to_complete(&self, key: &EventKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.claimed.to_complete)
    }
}

/// The new token and duration of an entry.
type To = (Option<LeaseToken>, Duration);

#[async_trait]
impl DedupeStore for SimulatedStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let (key, to_complete) = (*key, self.is_completing());
        let claim = move |engine: &mut Engine| {
            (engine.claim(key, lease, to_complete), engine.is_held_to_complete(&key))
        };
        let (claimed, is_held_to_complete) = self.call(Operation::Claim, key, None, claim).await?;
        let mut judge = self.0.judge.lock().unwrap();
        match claimed {
            Claimed::Acquired(token) => judge.acquired(token),
            Claimed::InFlight if to_complete && !is_held_to_complete => judge.taken_over(&key),
            Claimed::InFlight | Claimed::Completed => {}
        }
        drop(judge);
        Ok(claimed)
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let (key, holder) = (*key, *token);
        let renew =
            move |engine: &mut Engine| engine.change(key, holder, Some((Some(holder), lease)));
        let is_held = self.call(Operation::Renew, key, Some(token), renew).await?;
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
        let complete =
            move |engine: &mut Engine| engine.change(key, holder, Some((None, retention)));
        let is_completed = self.call(Operation::Complete, key, Some(token), complete).await?;
        if let Some(task) = task::try_id().filter(|_| !is_completed) {
            self.0.completing.lock().unwrap().insert(task);
        }
        Ok(is_completed)
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let (key, holder) = (*key, *token);
        let release = move |engine: &mut Engine| engine.change(key, holder, None);
        self.call(Operation::Release, key, Some(token), release).await
    }
}
