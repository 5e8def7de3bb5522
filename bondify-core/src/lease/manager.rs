use std::{
    error::Error,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tracing::Instrument;

use super::{
    held::{Held, HeldLeases, Holder},
    runtime::{Call, State, StoreRuntime},
};
use crate::{
    Claimed, DedupeStore, EventKey, ImmediateStore, LeaseToken, StoreError,
    limits::{
        COMPLETION_LIMIT, FIRST_PAUSE, LONGEST_RETRY_PAUSE, STORE_TIMEOUT, TURN_OF_A_RUNTIME,
    },
    store::within,
    telemetry::{Operation, completion_retried, renewed, timed},
};

/// Claims keys in a store, keeps their leases and ends them.
#[derive(Clone)]
pub(crate) struct LeaseManager(Arc<Shared>);

struct Shared {
    store: Arc<dyn DedupeStore>,
    lease: Duration,
    retention: Duration,
    runtime: StoreRuntime,
    held: HeldLeases,
}

/// The result of a claim attempt.
pub(crate) enum Attempt {
    Acquired(Lease),
    InFlight,
    Completed,
}

impl LeaseManager {
    pub(crate) fn new(store: Arc<dyn DedupeStore>, lease: Duration, retention: Duration) -> Self {
        let (runtime, held) = (StoreRuntime::default(), HeldLeases::default());
        let this = Self(Arc::new(Shared { store, lease, retention, runtime, held }));
        this.with_runtime(|_| ());
        this
    }

    /// Claims `key` in a store that answers without waiting. `None` if the store is not one.
    pub(crate) fn claim_at_once(
        &self,
        key: EventKey,
        holder: &Holder,
    ) -> Option<Result<Attempt, StoreError>> {
        self.0.store.as_immediate()?;
        let asked = Instant::now();
        match self.runtime_state(asked) {
            State::Driven => {}
            State::Suspect(_) => return None,
            State::Missing => return Some(Err(no_runtime())),
        }
        let claimed = self.0.at_once(|store| store.claim_now(&key, self.0.lease))?;
        Some(Ok(match claimed {
            Claimed::Acquired(token) => {
                Attempt::Acquired(self.hold(key, token, holder.clone(), asked))
            }
            Claimed::Completed => Attempt::Completed,
            Claimed::InFlight => Attempt::InFlight,
        }))
    }

    /// Claims `key`, and waits for the answer until `give_up`.
    pub(crate) async fn claim(
        &self,
        key: EventKey,
        holder: &Holder,
        give_up: Instant,
    ) -> Result<Attempt, StoreError> {
        self.check_runtime().await;
        if let Some(attempt) = self.claim_at_once(key, holder) {
            return attempt;
        }
        let runtime = self.runtime().ok_or_else(no_runtime)?;
        let attempt = self.clone().attempt(key, holder.clone(), give_up);
        Call::start(&runtime, attempt).answer(give_up).await
    }

    /// Asks the store for settings of its engine that would lose or double events.
    pub(crate) async fn check(&self) -> Result<Vec<String>, StoreError> {
        within(STORE_TIMEOUT, async { (*self.0.store).check().await }).await
    }

    /// Abandons the runtime if it does not run tasks.
    async fn check_runtime(&self) {
        let State::Suspect(runtime) = self.runtime_state(Instant::now()) else { return };
        if timeout(TURN_OF_A_RUNTIME, runtime.spawn(async {})).await.is_ok() {
            self.0.is_driven();
        } else if self.0.runtime.abandon(&runtime) {
            tracing::error!(
                "the tokio runtime that Bondify was built on runs no tasks: its `block_on` is over, \
                 or its thread is blocked. Store calls run on the current runtime from now on. \
                 Build Bondify and its store on the runtime that runs the server"
            );
        }
    }

    async fn attempt(
        self,
        key: EventKey,
        holder: Holder,
        give_up: Instant,
    ) -> Result<Attempt, StoreError> {
        let asked = Instant::now();
        let limit = give_up.saturating_duration_since(asked) + self.0.lease;
        match self.0.claim(&key, limit).await? {
            Claimed::Acquired(token) => {
                let lease = self.hold(key, token, holder, asked);
                let is_held = lease.renew_if_spent(asked, give_up).await?;
                Ok(if is_held { Attempt::Acquired(lease) } else { Attempt::InFlight })
            }
            Claimed::InFlight => Ok(Attempt::InFlight),
            Claimed::Completed => Ok(Attempt::Completed),
        }
    }

    fn hold(&self, key: EventKey, token: LeaseToken, holder: Holder, asked: Instant) -> Lease {
        let place = self.0.held.insert(Held::new(key, token, holder, asked + self.0.lease));
        Lease { manager: self.clone(), place, may_have_claimed: false }
    }

    /// The runtime that the store is called on. The renewer runs on it as long as it exists.
    fn runtime(&self) -> Option<Handle> {
        self.with_runtime(Handle::clone)
    }

    fn runtime_state(&self, now: Instant) -> State {
        self.0.runtime.state(|runtime| self.start_renewer(runtime), now)
    }

    fn with_runtime<T>(&self, then: impl FnOnce(&Handle) -> T) -> Option<T> {
        self.0.runtime.with(|runtime| self.start_renewer(runtime), then)
    }

    fn start_renewer(&self, runtime: &Handle) -> JoinHandle<()> {
        runtime.spawn(renew_leases(Arc::downgrade(&self.0)))
    }
}

fn no_runtime() -> StoreError {
    StoreError::new("there is no tokio runtime")
}

impl Shared {
    /// Records that the runtime of the store calls runs tasks. It counts until the renewer is overdue.
    fn is_driven(&self) {
        self.runtime.set_driven(Instant::now() + self.lease / 2);
    }

    /// The answer of a store that answers without waiting. `None` if the store is not one, or panicked.
    fn at_once<T>(&self, call: impl FnOnce(&dyn ImmediateStore) -> T) -> Option<T> {
        let store = self.store.as_immediate()?;
        catch_unwind(AssertUnwindSafe(|| call(store))).ok()
    }

    async fn claim(&self, key: &EventKey, limit: Duration) -> Result<Claimed, StoreError> {
        let claim = within(limit, async { self.store.claim(key, self.lease).await });
        timed(Operation::Claim, claim).await
    }

    /// Renews a lease. Returns `false` if it is lost.
    async fn renew(&self, place: usize, held: &Held, limit: Duration) -> Result<bool, StoreError> {
        let asked = Instant::now();
        let Held { key, token, .. } = held;
        let renewal = async { self.store.renew(key, token, self.lease).await };
        let renewal = timed(Operation::Renew, within(limit, renewal)).await;
        renewed(&renewal);
        let is_held = renewal?;
        if is_held {
            self.held.renewed(place, held, asked + self.lease);
        } else if self.held.lost(place, held) {
            tracing::error!(
                "a running handler lost its lease: a retry may be handled at the same time"
            );
        }
        Ok(is_held)
    }

    async fn complete(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let completion = async { self.store.complete(key, token, self.retention).await };
        timed(Operation::Complete, within(STORE_TIMEOUT, completion)).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let release = async { self.store.release(key, token).await };
        timed(Operation::Release, within(STORE_TIMEOUT, release)).await
    }
}

/// Renews all leases every third of a lease, regardless of their age. Most handlers end before the
/// first renewal, and need no timer of their own.
async fn renew_leases(shared: Weak<Shared>) {
    let Some(every) = shared.upgrade().map(|shared| shared.lease / 3) else { return };
    let mut ticks = interval_at(Instant::now() + every, every);
    // After a round that took too long, the next one starts at once, but missed rounds are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.is_driven();
        let renew = |(place, held): (usize, Held)| {
            let (shared, span) = (&shared, held.span().clone());
            let renewal = async move {
                if let Err(error) = shared.renew(place, &held, every).await {
                    tracing::error!(error = &error as &dyn Error, "a lease was not renewed");
                }
            };
            renewal.instrument(span)
        };
        stream::iter(shared.held.due()).for_each_concurrent(None, renew).await;
    }
}

/// The pauses between the tries to end a lease of this duration.
fn pauses_of_retries(lease: Duration) -> impl Iterator<Item = Duration> {
    let longest = (lease / 10).clamp(FIRST_PAUSE, LONGEST_RETRY_PAUSE);
    iter::successors(Some(longest / 10), move |pause| Some(longest.min(*pause * 2)))
}

/// A held lease. If it is dropped unsettled, for instance because its delivery was cancelled, it is
/// released in the background.
pub(crate) struct Lease {
    manager: LeaseManager,
    place: usize,
    /// `true` if a claim for the completion was not answered. It may have taken effect.
    may_have_claimed: bool,
}

impl Lease {
    /// Completes or releases the key. `None` if there is nothing to wait for.
    pub(crate) fn settle(self, accepted: bool) -> Option<Call<Result<(), StoreError>>> {
        if !accepted {
            return None; // dropping it releases it
        }
        let shared = self.shared();
        let (key, token) = shared.held.complete(self.place);
        if shared.at_once(|store| store.complete_now(&key, &token, shared.retention)) == Some(true)
        {
            return None;
        }
        let runtime = self.manager.runtime();
        if runtime.is_none() {
            tracing::error!("a handled event was not completed: there is no tokio runtime");
        }
        runtime.map(|runtime| Call::start(&runtime, self.complete()))
    }

    /// Completes the key. A failure is retried in a task of its own, since the handler has succeeded and
    /// should not run again.
    async fn complete(mut self) -> Result<(), StoreError> {
        let first = self.try_complete().await;
        if first.is_err() {
            let again = async move {
                if !self.complete_later().await {
                    tracing::error!(
                        "an event that was handled is not completed: a duplicate of it is handled again"
                    );
                }
            };
            tokio::spawn(again.in_current_span());
        }
        first
    }

    /// Retries a completion for [`COMPLETION_LIMIT`], whether or not the lease has run out meanwhile.
    /// Returns `true` if it has ended before.
    async fn complete_later(&mut self) -> bool {
        let limit = Instant::now() + COMPLETION_LIMIT;
        let mut pauses = pauses_of_retries(self.shared().lease);
        while let Some(pause) = pauses.next().filter(|pause| Instant::now() + *pause < limit) {
            sleep(pause).await;
            completion_retried();
            match self.try_complete().await {
                Ok(()) => return true,
                Err(error) => tracing::debug!(
                    error = &error as &dyn Error,
                    "completing an event failed again; will try again"
                ),
            }
        }
        false
    }

    /// Completes the key once. If the lease has run out, claims it again first. Ends without an error if
    /// the key is completed, or if another delivery holds its lease.
    async fn try_complete(&mut self) -> Result<(), StoreError> {
        let shared = self.manager.0.clone();
        let (key, token) = shared.held.key_and_token(self.place);
        if shared.complete(&key, &token).await? {
            return Ok(());
        }
        let asked = Instant::now();
        let claimed = shared.claim(&key, STORE_TIMEOUT).await;
        match claimed.inspect_err(|_| self.may_have_claimed = true)? {
            Claimed::Acquired(token) => {
                shared.held.regained(self.place, token, asked + shared.lease);
                if !shared.complete(&key, &token).await? {
                    return Err(StoreError::new("the lease was lost again"));
                }
                tracing::error!(
                    "the lease ran out before the event was completed; it is completed now"
                );
            }
            Claimed::InFlight if self.may_have_claimed => {
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

    async fn release(self) {
        let Err(error) = self.try_release().await else { return };
        tracing::error!(error = &error as &dyn Error, "a lease was not released; will try again");
        if !self.release_later().await {
            tracing::error!("a lease was not released and has run out by itself");
        }
    }

    /// Retries a release until the lease has run out. Returns `true` if the store answered before.
    async fn release_later(&self) -> bool {
        let limit = (Instant::now() + COMPLETION_LIMIT).min(self.held().until);
        let mut pauses = pauses_of_retries(self.shared().lease);
        while let Some(pause) = pauses.next().filter(|pause| Instant::now() + *pause < limit) {
            sleep(pause).await;
            match self.try_release().await {
                Ok(()) => return true,
                Err(error) => tracing::debug!(
                    error = &error as &dyn Error,
                    "releasing a lease failed again; will try again"
                ),
            }
        }
        false
    }

    async fn try_release(&self) -> Result<(), StoreError> {
        let (key, token) = self.shared().held.key_and_token(self.place);
        if !self.shared().release(&key, &token).await? {
            tracing::error!("the lease ran out before the event was released");
        }
        Ok(())
    }

    /// Renews the lease if a third of it has passed since the claim was sent at `asked`. Returns `false` if
    /// it is lost.
    async fn renew_if_spent(
        &self,
        mut asked: Instant,
        give_up: Instant,
    ) -> Result<bool, StoreError> {
        let shared = self.shared();
        while asked.elapsed() >= shared.lease / 3 {
            asked = Instant::now();
            let limit = give_up.saturating_duration_since(asked);
            if !shared.renew(self.place, &self.held(), limit).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn held(&self) -> Held {
        self.shared().held.get(self.place)
    }

    fn shared(&self) -> &Shared {
        &self.manager.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Self { manager, place, .. } = self;
        let held = &manager.0.held;
        let Some((key, token, span)) = held.release_or_remove(*place) else { return };
        if manager.0.at_once(|store| store.release_now(&key, &token)) == Some(true) {
            drop(held.release_or_remove(*place));
            return;
        }
        let Some(runtime) = manager.runtime() else {
            drop(held.release_or_remove(*place));
            return tracing::error!(
                "a lease was not released: there is no tokio runtime; it will run out"
            );
        };
        let lease = Self { manager: manager.clone(), place: *place, may_have_claimed: false };
        span.in_scope(|| Call::start(&runtime, lease.release()));
    }
}
