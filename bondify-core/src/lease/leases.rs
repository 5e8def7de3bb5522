use std::{
    collections::HashMap,
    error::Error,
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tracing::{Instrument, Span};

use super::call::Call;
use crate::{
    Claimed, DedupeStore, EventKey, LeaseToken, StoreError,
    limits::{
        COMPLETION_LIMIT, FIRST_PAUSE, LONGEST_RETRY_PAUSE, STORE_TIMEOUT, TURN_OF_A_RUNTIME,
    },
    store::within,
    telemetry::{Operation, completion_retried, renewed, timed},
};

/// Claims keys in a store and renews their leases.
#[derive(Clone)]
pub(crate) struct Leases(Arc<Shared>);

struct Shared {
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
    /// The time at which Bondify stops waiting for the answer.
    pub(crate) answer_by: Option<Instant>,
    /// Keeps `drain` waiting.
    pub(crate) _running: watch::Receiver<()>,
}

/// The result of a claim attempt.
pub(crate) enum Attempt {
    Acquired(Lease),
    InFlight,
    Completed,
}

impl Leases {
    pub(crate) fn new(store: Arc<dyn DedupeStore>, lease: Duration, retention: Duration) -> Self {
        let (home, held, handled) = (Mutex::default(), Mutex::default(), Mutex::default());
        let this = Self(Arc::new(Shared { store, lease, retention, home, held, handled }));
        this.home();
        this
    }

    /// Claims `key` for a delivery that waits for the answer until `give_up`.
    pub(crate) async fn claim(
        &self,
        key: EventKey,
        holder: &Arc<Holder>,
        give_up: Instant,
    ) -> Call<Result<Attempt, StoreError>> {
        match self.driven_home().await {
            Some(home) => Call::start(&home, self.clone().attempt(key, holder.clone(), give_up)),
            None => Call::Done(Err(StoreError::new("there is no tokio runtime"))),
        }
    }

    async fn attempt(
        self,
        key: EventKey,
        holder: Arc<Holder>,
        give_up: Instant,
    ) -> Result<Attempt, StoreError> {
        let asked = Instant::now();
        let limit = give_up.saturating_duration_since(asked) + self.0.lease;
        match self.0.claim(&key, limit).await? {
            Claimed::Acquired(token) => {
                let lease = self.hold(key, token, holder, asked);
                if lock(&self.0.handled).contains_key(&key) {
                    drop(lease.complete()); // it continues by itself
                    return Ok(Attempt::Completed);
                }
                let is_held = lease.renew_if_spent(asked, give_up).await?;
                Ok(if is_held { Attempt::Acquired(lease) } else { Attempt::InFlight })
            }
            Claimed::InFlight => Ok(Attempt::InFlight),
            Claimed::Completed => Ok(Attempt::Completed),
        }
    }

    fn hold(&self, key: EventKey, token: LeaseToken, holder: Arc<Holder>, asked: Instant) -> Lease {
        let lease = Lease::new(self, key, token, holder, asked + self.0.lease);
        let mut held = lock(&self.0.held);
        if held.len() == held.capacity() {
            held.retain(|held| held.strong_count() > 0);
            let live = held.len();
            held.reserve(live.max(32));
        }
        held.push(lease.downgrade());
        lease
    }

    /// Asks the store for settings of its engine that would lose or double events.
    pub(crate) async fn check(&self) -> Result<Vec<String>, StoreError> {
        within(STORE_TIMEOUT, async { (*self.0.store).check().await }).await
    }

    /// The home runtime. If there is none, or if it has ended, the current runtime becomes it.
    fn home(&self) -> Option<Handle> {
        self.with_home(|home| home.runtime.clone())
    }

    /// The home runtime. If it does not run tasks, for instance because its `block_on` is over, the current
    /// runtime replaces it.
    async fn driven_home(&self) -> Option<Handle> {
        let (home, driven_until) =
            self.with_home(|home| (home.runtime.clone(), home.driven_until))?;
        let is_current = || Handle::try_current().is_ok_and(|current| current.id() == home.id());
        if Instant::now() < driven_until || is_current() {
            return Some(home);
        }
        if Box::pin(timeout(TURN_OF_A_RUNTIME, home.spawn(async {}))).await.is_ok() {
            self.0.is_driven();
            return Some(home);
        }
        let abandoned = lock(&self.0.home).take_if(|now| now.runtime.id() == home.id());
        if abandoned.is_some() {
            tracing::error!(
                "the tokio runtime that Bondify was built on runs no tasks: its `block_on` is over, \
                 or its thread is blocked. Store calls run on the current runtime from now on. \
                 Build Bondify and its store on the runtime that runs the server"
            );
        }
        self.home()
    }

    fn with_home<T>(&self, then: impl FnOnce(&Home) -> T) -> Option<T> {
        let mut current = lock(&self.0.home);
        if let Some(home) = current.as_ref().filter(|home| !home.renewer.is_finished()) {
            return Some(then(home));
        }
        let runtime = Handle::try_current().ok()?;
        let renewer = runtime.spawn(renew_leases(Arc::downgrade(&self.0))).abort_handle();
        Some(then(current.insert(Home { runtime, renewer, driven_until: Instant::now() })))
    }
}

impl Shared {
    async fn claim(&self, key: &EventKey, limit: Duration) -> Result<Claimed, StoreError> {
        // Of `*self.store`: the `Arc` is a store too, and would box each call once more.
        let claim = within(limit, async { (*self.store).claim(key, self.lease).await });
        timed(Operation::Claim, claim).await
    }

    fn is_handled(&self, key: EventKey) {
        *lock(&self.handled).entry(key).or_default() += 1;
    }

    fn has_ended(&self, key: &EventKey) {
        let mut handled = lock(&self.handled);
        if let Some(leases) = handled.get_mut(key) {
            *leases -= 1;
            if *leases == 0 {
                handled.remove(key);
            }
        }
    }

    /// Records that the home runtime runs tasks. It counts until the renewer is overdue.
    fn is_driven(&self) {
        if let Some(home) = &mut *lock(&self.home) {
            home.driven_until = Instant::now() + self.lease / 2;
        }
    }
}

/// Renews all leases every third of a lease, regardless of their age. Most handlers end before the first
/// renewal, and need no timer of their own.
async fn renew_leases(shared: Weak<Shared>) {
    let Some(every) = shared.upgrade().map(|shared| shared.lease / 3) else { return };
    let mut ticks = interval_at(Instant::now() + every, every);
    // After a round that took too long, the next one starts at once, but missed rounds are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.is_driven();
        let live: Vec<_> = {
            let mut held = lock(&shared.held);
            held.retain(|held| held.strong_count() > 0);
            held.iter().filter_map(Weak::upgrade).collect()
        };
        let due = live.into_iter().filter(|held| held.is_renewed());
        let renew = |held: Arc<Held>| {
            let span = held.span().clone();
            let renewal = async move {
                if let Err(error) = held.renew(every).await {
                    tracing::error!(error = &error as &dyn Error, "a lease was not renewed");
                }
            };
            renewal.instrument(span)
        };
        stream::iter(due).for_each_concurrent(None, renew).await;
    }
}

/// The right to handle a key. If it is dropped before it is completed, for instance because its delivery
/// was cancelled, it is released in the background.
pub(crate) struct Lease(Arc<Held>);

/// A lease, as its delivery and the renewer share it.
struct Held {
    leases: Leases,
    key: EventKey,
    holder: Arc<Holder>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    token: LeaseToken,
    /// The time until which the lease is held at least, unless the store has forgotten it.
    until: Instant,
    stage: Stage,
    is_overdue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Handling,
    Lost,
    Completing,
    Releasing,
}

impl Lease {
    fn new(
        leases: &Leases,
        key: EventKey,
        token: LeaseToken,
        holder: Arc<Holder>,
        until: Instant,
    ) -> Self {
        let state = Mutex::new(State { token, until, stage: Stage::Handling, is_overdue: false });
        Self(Arc::new(Held { leases: leases.clone(), key, holder, state }))
    }

    fn downgrade(&self) -> Weak<Held> {
        Arc::downgrade(&self.0)
    }

    /// Renews the lease if a third of it has passed since the claim was sent at `asked`. Returns `false` if
    /// it is lost.
    async fn renew_if_spent(
        &self,
        mut asked: Instant,
        give_up: Instant,
    ) -> Result<bool, StoreError> {
        while asked.elapsed() >= self.0.shared().lease / 3 {
            asked = Instant::now();
            if !self.0.renew(give_up.saturating_duration_since(asked)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Completes the key. A failure is retried in a task of its own, since the handler has succeeded and
    /// should not run again.
    pub(crate) fn complete(self) -> Call<Result<(), StoreError>> {
        self.0.begin(Stage::Completing);
        match self.0.leases.home() {
            Some(home) => Call::start(&home, self.0.clone().complete()),
            None => Call::Done(Err(StoreError::new("there is no tokio runtime"))),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.0.begin(Stage::Releasing) {
            return;
        }
        let Some(home) = self.0.leases.home() else {
            return tracing::error!(
                "a lease was not released: there is no tokio runtime; it will run out"
            );
        };
        self.0.span().in_scope(|| Call::start(&home, self.0.clone().release()));
    }
}

impl Held {
    fn span(&self) -> &Span {
        &self.holder.span
    }

    /// Begins to end a lease. Returns `false` if it is lost, or is being ended already.
    fn begin(&self, end: Stage) -> bool {
        let mut state = self.state();
        let is_handling = state.stage == Stage::Handling;
        if is_handling {
            state.stage = end;
        }
        is_handling
    }

    /// Returns `true` if the lease is to be renewed. Warns once of a handler that runs longer than Bondify
    /// waits.
    fn is_renewed(&self) -> bool {
        let is_late = self.holder.answer_by.is_some_and(|answer_by| Instant::now() > answer_by);
        let (stage, is_overdue) = {
            let mut state = self.state();
            let is_overdue = is_late && state.stage == Stage::Handling && !state.is_overdue;
            state.is_overdue |= is_overdue;
            (state.stage, is_overdue)
        };
        if is_overdue {
            tracing::warn!(
                parent: self.span(),
                "the handler is still running: Bondify has stopped waiting for this delivery"
            );
        }
        matches!(stage, Stage::Handling | Stage::Completing)
    }

    /// Renews the lease. Returns `false` if it is lost.
    async fn renew(&self, limit: Duration) -> Result<bool, StoreError> {
        let Shared { store, lease, .. } = self.shared();
        let (asked, token) = (Instant::now(), self.state().token);
        let renewal = async { (**store).renew(&self.key, &token, *lease).await };
        let renewal = timed(Operation::Renew, within(limit, renewal)).await;
        renewed(&renewal);
        let is_held = renewal?;
        if self.is_lost_by(token, is_held, asked + *lease) {
            tracing::error!(
                "a running handler lost its lease: a retry may be handled at the same time"
            );
        }
        Ok(is_held)
    }

    /// Records the answer to a renewal of `token`. Returns `true` if a handler has lost its lease.
    fn is_lost_by(&self, token: LeaseToken, is_held: bool, until: Instant) -> bool {
        let mut state = self.state();
        if state.token != token {
            return false; // it was claimed again meanwhile
        }
        if is_held {
            state.until = until;
            return false;
        }
        let is_lost = state.stage == Stage::Handling;
        if is_lost {
            state.stage = Stage::Lost;
        }
        is_lost
    }

    async fn complete(self: Arc<Self>) -> Result<(), StoreError> {
        let mut may_have_claimed = false;
        let first = self.try_complete(&mut may_have_claimed).await;
        if first.is_err() {
            self.shared().is_handled(self.key);
            let again = async move {
                if !self.try_again(Stage::Completing, may_have_claimed).await {
                    tracing::error!(
                        "event handled but not marked as completed: a duplicate will be handled again"
                    );
                }
                self.shared().has_ended(&self.key);
            };
            tokio::spawn(again.in_current_span());
        }
        first
    }

    /// Completes the key once. If the lease has run out, claims it again first. Ends without an error if
    /// the key is completed, or if another delivery holds its lease. `may_have_claimed` is set if the answer
    /// to a claim is lost.
    async fn try_complete(&self, may_have_claimed: &mut bool) -> Result<(), StoreError> {
        let (shared, token) = (self.shared(), self.state().token);
        if self.complete_by(token).await? {
            return Ok(());
        }
        let asked = Instant::now();
        let claimed = shared.claim(&self.key, STORE_TIMEOUT).await;
        match claimed.inspect_err(|_| *may_have_claimed = true)? {
            Claimed::Acquired(token) => {
                let (until, stage) = (asked + shared.lease, Stage::Completing);
                *self.state() = State { token, until, stage, is_overdue: true };
                if !self.complete_by(token).await? {
                    return Err(StoreError::new("the lease was lost again"));
                }
                tracing::error!(
                    "the lease ran out before the event was completed; it is completed now"
                );
            }
            Claimed::InFlight if *may_have_claimed => {
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

    async fn complete_by(&self, token: LeaseToken) -> Result<bool, StoreError> {
        let Shared { store, retention, .. } = self.shared();
        let completion = async { (**store).complete(&self.key, &token, *retention).await };
        timed(Operation::Complete, within(STORE_TIMEOUT, completion)).await
    }

    async fn release(self: Arc<Self>) {
        let Err(error) = self.try_release().await else { return };
        tracing::error!(error = &error as &dyn Error, "a lease was not released; will try again");
        if !self.try_again(Stage::Releasing, false).await {
            tracing::error!("a lease was not released and has run out by itself");
        }
    }

    async fn try_release(&self) -> Result<(), StoreError> {
        let (store, token) = (&self.shared().store, self.state().token);
        let release = async { (**store).release(&self.key, &token).await };
        if !timed(Operation::Release, within(STORE_TIMEOUT, release)).await? {
            tracing::error!("the lease ran out before the event was released");
        }
        Ok(())
    }

    /// Retries the end of a lease: a completion for [`COMPLETION_LIMIT`], a release until the lease has run
    /// out. Returns `true` if it has ended before.
    async fn try_again(&self, end: Stage, mut may_have_claimed: bool) -> bool {
        let mut limit = Instant::now() + COMPLETION_LIMIT;
        if end == Stage::Releasing {
            limit = limit.min(self.state().until);
        }
        for pause in pauses(self.shared().lease) {
            if Instant::now() + pause >= limit {
                break;
            }
            sleep(pause).await;
            let ended = if end == Stage::Releasing {
                self.try_release().await
            } else {
                completion_retried();
                self.try_complete(&mut may_have_claimed).await
            };
            match ended {
                Ok(()) => return true,
                Err(error) => tracing::debug!(
                    error = &error as &dyn Error,
                    ?end,
                    "ending a lease failed again; will try again"
                ),
            }
        }
        false
    }

    fn shared(&self) -> &Shared {
        &self.leases.0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The pauses between the tries to end a lease of this duration.
fn pauses(lease: Duration) -> impl Iterator<Item = Duration> {
    let longest = (lease / 10).clamp(FIRST_PAUSE, LONGEST_RETRY_PAUSE);
    iter::successors(Some(longest / 10), move |pause| Some(longest.min(*pause * 2)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
