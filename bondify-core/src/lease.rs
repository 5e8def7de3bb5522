//! Leases: the exclusive right to handle a key, held in a dedupe store.
//!
//! The rules of a lease:
//!
//! 1. A handler starts only with more than two thirds of its lease left. If the answer to the claim
//!    takes longer, the lease is renewed first.
//! 2. A lease is renewed while its handler runs and while its completion is tried. It is never
//!    renewed once its release has begun.
//! 3. Every call to the store ends: it is answered, or it times out. A claim that its delivery no longer
//!    waits for is awaited for one more lease, and released if it is granted.
//! 4. A completion that fails is retried for 60 s (`COMPLETION_LIMIT`), whether or not its lease has run
//!    out: the key is claimed again and completed. It ends earlier only if the key is completed or another
//!    delivery holds its lease. Until then this process answers duplicates as if it were completed, and
//!    completes it by their leases too. A release that fails is retried until the lease has run out. An error, a
//!    panic and a time-out are treated alike.
//! 5. An answer to Bondify waits for a completion, up to the time-out of the store. It does not wait for
//!    a release.
//! 6. A lost lease changes nothing in the store, and its loss is logged.

mod call;

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{Instrument, Span};

pub(crate) use self::call::Call;
use crate::{
    Claimed, DedupeStore, EventKey, LeaseToken, StoreError,
    deadlines::Deadlines,
    limits::{
        COMPLETION_LIMIT, FIRST_PAUSE, LONGEST_RETRY_PAUSE, STORE_TIMEOUT, TURN_OF_A_RUNTIME,
    },
    store::within,
    telemetry::{completion_retried, renewed, timed},
};

/// Claims keys in a store and renews their leases.
pub(crate) struct Leases {
    store: Arc<dyn DedupeStore>,
    lease: Duration,
    retention: Duration,
    home: Mutex<Option<Home>>,
    /// The leases that the renewer renews. A lease that has ended stays until the next renewal, or until the
    /// vector is full.
    held: Mutex<Vec<Weak<Held>>>,
    /// The events that were handled here and could not be completed at once, each with the number of leases
    /// that try to.
    handled: Mutex<HashMap<EventKey, usize>>,
}

/// The runtime that store calls and the renewer run on: the one that the `Bondify` was built on, so that a
/// handler that blocks its own runtime's thread cannot stop the renewal of its lease.
struct Home {
    runtime: Handle,
    renewer: AbortHandle,
    /// The time until which the runtime counts as running tasks, since the renewer has run.
    driven_until: Instant,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

/// The delivery that a lease is for.
pub(crate) struct Holder {
    pub(crate) span: Span,
    pub(crate) deadlines: Deadlines,
    /// Keeps `drain` waiting.
    pub(crate) _running: watch::Receiver<()>,
}

/// The reason why an event is not handled.
#[derive(Debug)]
pub(crate) enum NotClaimed {
    Completed,
    InFlight,
    StoreUnavailable(StoreError),
}

impl From<StoreError> for NotClaimed {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
    }
}

impl Leases {
    pub(crate) fn new(
        store: Arc<dyn DedupeStore>,
        lease: Duration,
        retention: Duration,
    ) -> Arc<Self> {
        let (home, held, handled) = (Mutex::default(), Mutex::default(), Mutex::default());
        let leases = Arc::new(Self { store, lease, retention, home, held, handled });
        leases.home();
        leases
    }

    /// Claims `key` for a delivery.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        key: EventKey,
        holder: &Arc<Holder>,
    ) -> Call<Lease, NotClaimed> {
        let home = self.driven_home().await;
        Call::start(home, self.clone().attempt(key, holder.clone()))
    }

    async fn attempt(
        self: Arc<Self>,
        key: EventKey,
        holder: Arc<Holder>,
    ) -> Result<Lease, NotClaimed> {
        let give_up = holder.deadlines.give_up;
        let mut asked = Instant::now();
        let limit = give_up.saturating_duration_since(asked) + self.lease;
        let token = match self.claim_once(&key, limit).await? {
            Claimed::Acquired(token) => token,
            Claimed::InFlight => return Err(NotClaimed::InFlight),
            Claimed::Completed => return Err(NotClaimed::Completed),
        };
        let (until, stage) = (asked + self.lease, Stage::Handling);
        let state = State { token, until, stage, is_overdue: false, may_have_claimed: false };
        let (leases, state) = (self.clone(), Mutex::new(state));
        let lease = Lease(Arc::new(Held { leases, key, holder, state }));
        self.renew_from_now(&lease);
        if lock(&self.handled).contains_key(&key) {
            drop(lease.complete()); // it continues by itself
            return Err(NotClaimed::Completed);
        }
        while asked.elapsed() >= self.lease / 3 {
            asked = Instant::now();
            if !Box::pin(lease.0.renew(give_up.saturating_duration_since(asked))).await? {
                return Err(NotClaimed::InFlight);
            }
        }
        Ok(lease)
    }

    async fn claim_once(&self, key: &EventKey, limit: Duration) -> Result<Claimed, StoreError> {
        // Of `*self.store`: the `Arc` is a store too, and would box each call once more.
        let claim = within(limit, async { (*self.store).claim(key, self.lease).await });
        timed("claim", claim).await
    }

    /// Renews a lease as long as it is held.
    fn renew_from_now(&self, lease: &Lease) {
        let mut held = lock(&self.held);
        if held.len() == held.capacity() {
            held.retain(|held| held.strong_count() > 0);
            let live = held.len();
            held.reserve(live.max(32));
        }
        held.push(Arc::downgrade(&lease.0));
    }

    /// Returns `true` if the store forgets its events when the process ends.
    pub(crate) fn forgets_on_restart(&self) -> bool {
        self.store.forgets_on_restart()
    }

    /// Asks the store for settings of its engine that would lose or double events.
    pub(crate) async fn check(&self) -> Result<Vec<String>, StoreError> {
        within(STORE_TIMEOUT, async { (*self.store).check().await }).await
    }

    /// The home runtime, and the time until which it counts as running tasks. If there is none, or if it has
    /// ended, the current runtime becomes it.
    fn home(self: &Arc<Self>) -> Option<(Handle, Instant)> {
        let mut current = lock(&self.home);
        if current.as_ref().is_none_or(|home| home.renewer.is_finished()) {
            let runtime = Handle::try_current().ok()?;
            let renewer = runtime.spawn(renew_leases(Arc::downgrade(self), self.lease / 3));
            let renewer = renewer.abort_handle();
            *current = Some(Home { runtime, renewer, driven_until: Instant::now() });
        }
        current.as_ref().map(|home| (home.runtime.clone(), home.driven_until))
    }

    /// The home runtime. If it does not run tasks, for instance because its `block_on` is over, the current
    /// runtime replaces it.
    async fn driven_home(self: &Arc<Self>) -> Option<Handle> {
        let (home, driven_until) = self.home()?;
        let is_current = || Handle::try_current().is_ok_and(|current| current.id() == home.id());
        if Instant::now() < driven_until
            || is_current()
            || Box::pin(timeout(TURN_OF_A_RUNTIME, home.spawn(async {}))).await.is_ok()
        {
            return Some(home);
        }
        if lock(&self.home).take_if(|now| now.runtime.id() == home.id()).is_some() {
            tracing::error!(
                "the tokio runtime that Bondify was built on runs no tasks: its `block_on` is over, \
                 or its thread is blocked. Store calls run on the current runtime from now on. \
                 Build Bondify and its store on the runtime that runs the server"
            );
        }
        self.home().map(|(current, _)| current)
    }
}

/// Renews all leases `every` third of a lease, regardless of their age. Most handlers end before the first
/// renewal, and need no timer of their own.
async fn renew_leases(leases: Weak<Leases>, every: Duration) {
    let mut due = Instant::now() + every;
    loop {
        sleep_until(due).await;
        // After a round that took too long, the next one starts at once, but missed rounds are not made up for.
        due = Instant::now() + every;
        let Some(leases) = leases.upgrade() else { return };
        if let Some(home) = &mut *lock(&leases.home) {
            home.driven_until = due + every / 2; // until the next turn is overdue
        }
        let mut live = Vec::new();
        lock(&leases.held).retain(|held| held.upgrade().map(|held| live.push(held)).is_some());
        let renewed = live.into_iter().filter(|held| held.is_renewed());
        let renew = |held: Arc<Held>| async move {
            let span = &held.holder.span;
            if let Err(error) = held.renew(every).instrument(span.clone()).await {
                let error = &error as &dyn Error;
                tracing::error!(parent: span, error, "a lease was not renewed");
            }
        };
        stream::iter(renewed).for_each_concurrent(None, renew).await;
    }
}

/// The right to handle a key. If it is dropped before it is completed, for instance because its delivery
/// was cancelled, it is released in the background.
pub(crate) struct Lease(Arc<Held>);

impl Lease {
    /// Completes the key. A failure is retried in a task of its own, since the handler has succeeded and
    /// should not run again.
    pub(crate) fn complete(self) -> Call<(), StoreError> {
        self.0.end(Stage::Completing)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.end(Stage::Releasing)); // it continues by itself
    }
}

/// A lease, as its delivery and the renewer share it.
struct Held {
    leases: Arc<Leases>,
    key: EventKey,
    holder: Arc<Holder>,
    state: Mutex<State>,
}

struct State {
    token: LeaseToken,
    /// The time until which the lease is held at least, unless the store has forgotten it.
    until: Instant,
    stage: Stage,
    is_overdue: bool,
    /// A claim was not answered, so this delivery may hold a lease that it does not know.
    may_have_claimed: bool,
}

impl State {
    /// Holds a new lease of an event that was handled. It is renewed, even if the first one was lost.
    fn hold_again(&mut self, token: LeaseToken, until: Instant) {
        (self.token, self.until, self.stage) = (token, until, Stage::Completing);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Handling,
    Lost,
    Completing,
    Releasing,
}

impl Held {
    /// Returns `true` if the lease is to be renewed. Warns once of a handler that runs longer than Bondify
    /// waits.
    fn is_renewed(&self) -> bool {
        let mut state = self.state();
        if state.stage == Stage::Handling
            && self.holder.deadlines.is_too_late(Instant::now())
            && !mem::replace(&mut state.is_overdue, true)
        {
            tracing::warn!(
                parent: &self.holder.span,
                "the handler is still running: Bondify has stopped waiting for this delivery"
            );
        }
        matches!(state.stage, Stage::Handling | Stage::Completing)
    }

    /// Renews the lease. Returns `false` if it is lost.
    async fn renew(&self, limit: Duration) -> Result<bool, StoreError> {
        let Leases { store, lease, .. } = &*self.leases;
        let (asked, token) = (Instant::now(), self.state().token);
        let renewal = within(limit, async { (**store).renew(&self.key, &token, *lease).await });
        let renewal = timed("renew", renewal).await;
        renewed(&renewal);
        let is_held = renewal?;
        let mut state = self.state();
        // A key that was claimed again meanwhile has another token.
        if is_held && state.token == token {
            state.until = asked + *lease;
        } else if state.token == token && state.stage == Stage::Handling {
            state.stage = Stage::Lost;
            drop(state);
            tracing::error!(
                "a running handler lost its lease: a retry may be handled at the same time"
            );
        }
        Ok(is_held)
    }

    /// Begins to end the lease. One that is lost, or is being ended already, is not released.
    fn end(self: &Arc<Self>, end: Stage) -> Call<(), StoreError> {
        let mut state = self.state();
        if state.stage == Stage::Handling {
            state.stage = end;
        } else if end == Stage::Releasing {
            return Call::Done(Ok(()));
        }
        drop(state);
        let home = self.leases.home().map(|(home, _)| home);
        if home.is_none() {
            tracing::error!(?end, "there is no tokio runtime: a lease runs out by itself");
        }
        let span = self.holder.span.clone();
        span.in_scope(|| Call::start(home, self.clone().try_until_ended(end)))
    }

    /// Tries to end the lease. If that fails, it is tried again in a task of its own: a completion for
    /// [`COMPLETION_LIMIT`], a release until the lease has run out.
    async fn try_until_ended(self: Arc<Self>, end: Stage) -> Result<(), StoreError> {
        let ended = self.try_once(end).await;
        if let Err(error) = &ended {
            let error = error as &dyn Error;
            tracing::error!(error, ?end, "a lease is not ended yet; will try again");
            if end == Stage::Completing {
                *lock(&self.leases.handled).entry(self.key).or_default() += 1;
            }
            tokio::spawn(self.try_again(end).in_current_span());
        }
        ended
    }

    async fn try_again(self: Arc<Self>, end: Stage) {
        let is_completion = end == Stage::Completing;
        let limit =
            if is_completion { Instant::now() + COMPLETION_LIMIT } else { self.state().until };
        let longest = (self.leases.lease / 10).clamp(FIRST_PAUSE, LONGEST_RETRY_PAUSE);
        let mut pause = longest / 10;
        loop {
            if Instant::now() + pause >= limit {
                tracing::error!(
                    ?end,
                    "gave up: the lease runs out, and the next delivery of its event is handled"
                );
                break;
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
            if is_completion {
                completion_retried();
            }
            let Err(error) = self.try_once(end).await else { break };
            let error = &error as &dyn Error;
            tracing::debug!(error, ?end, "ending a lease failed again; will try again");
        }
        if !is_completion {
            return;
        }
        if let Entry::Occupied(mut handled) = lock(&self.leases.handled).entry(self.key) {
            *handled.get_mut() -= 1;
            if *handled.get() == 0 {
                handled.remove();
            }
        }
    }

    async fn try_once(&self, end: Stage) -> Result<(), StoreError> {
        match end {
            Stage::Completing => self.complete().await,
            _ => self.release().await,
        }
    }

    /// Completes the key once. If the lease has run out, claims it again first. Ends without an error if
    /// the key is completed, or if another delivery holds its lease.
    async fn complete(&self) -> Result<(), StoreError> {
        if self.complete_held().await? {
            return Ok(());
        }
        let (leases, asked) = (&self.leases, Instant::now());
        let claimed = leases.claim_once(&self.key, STORE_TIMEOUT).await;
        match claimed.inspect_err(|_| self.state().may_have_claimed = true)? {
            Claimed::Acquired(token) => {
                self.state().hold_again(token, asked + leases.lease);
                if !self.complete_held().await? {
                    return Err(StoreError::new("the lease was lost again"));
                }
                tracing::error!(
                    "the lease ran out before the event was completed; it is completed now"
                );
            }
            Claimed::InFlight if self.state().may_have_claimed => {
                return Err(StoreError::new("an earlier claim may hold the lease"));
            }
            Claimed::InFlight => tracing::error!(
                "the lease ran out before the event was completed: another delivery holds it now"
            ),
            Claimed::Completed => tracing::warn!(
                "the event was already completed, by this delivery or by another one"
            ),
        }
        Ok(())
    }

    async fn complete_held(&self) -> Result<bool, StoreError> {
        let (Leases { store, retention, .. }, token) = (&*self.leases, self.state().token);
        let completion = async { (**store).complete(&self.key, &token, *retention).await };
        timed("complete", within(STORE_TIMEOUT, completion)).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        let (store, token) = (&self.leases.store, self.state().token);
        let release = async { (**store).release(&self.key, &token).await };
        if !timed("release", within(STORE_TIMEOUT, release)).await? {
            tracing::error!("the lease ran out before the event was released");
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
