use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::{sync::watch, time::Instant};
use tracing::Span;

use crate::{EventKey, LeaseToken};

/// The delivery that a lease is for.
#[derive(Clone)]
pub(crate) struct Holder {
    span: Span,
    answer_by: Option<Instant>,
    /// Keeps `drain` waiting.
    _running: Arc<watch::Receiver<()>>,
}

impl Holder {
    pub(crate) fn new(
        span: Span,
        answer_by: Option<Instant>,
        running: Arc<watch::Receiver<()>>,
    ) -> Self {
        Self { span, answer_by, _running: running }
    }
}

/// The current state of a lease.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) key: EventKey,
    pub(super) token: LeaseToken,
    /// The time until which the lease is held at least, unless the store has forgotten it.
    pub(super) until: Instant,
    holder: Holder,
    stage: Stage,
    is_overdue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    Handling,
    Completing,
    Releasing,
    Lost,
}

impl Held {
    pub(super) fn new(key: EventKey, token: LeaseToken, holder: Holder, until: Instant) -> Self {
        Self { key, token, until, holder, stage: Stage::Handling, is_overdue: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.holder.span
    }

    fn is_renewed(&self) -> bool {
        matches!(self.stage, Stage::Handling | Stage::Completing)
    }

    /// Warns once of a handler that runs longer than Bondify waits.
    fn warn_if_overdue(&mut self) {
        let is_late = self.holder.answer_by.is_some_and(|answer_by| Instant::now() > answer_by);
        let is_overdue = self.stage == Stage::Handling && is_late;
        if is_overdue && !self.is_overdue {
            tracing::warn!(
                parent: self.span(),
                "the handler is still running: Bondify has stopped waiting for this delivery"
            );
            self.is_overdue = true;
        }
    }
}

/// All held leases, each at a place of its own.
#[derive(Default)]
pub(super) struct HeldLeases(Mutex<Slab<Held>>);

impl HeldLeases {
    pub(super) fn insert(&self, held: Held) -> usize {
        self.lock().insert(held)
    }

    /// The lease at `place`, which its `Lease` occupies.
    pub(super) fn get(&self, place: usize) -> Held {
        self.lock()[place].clone()
    }

    pub(super) fn key_and_token(&self, place: usize) -> (EventKey, LeaseToken) {
        let held = &self.lock()[place];
        (held.key, held.token)
    }

    /// Begins the completion of a lease, unless it is lost.
    pub(super) fn complete(&self, place: usize) -> (EventKey, LeaseToken) {
        let held = &mut self.lock()[place];
        if held.stage == Stage::Handling {
            held.stage = Stage::Completing;
        }
        (held.key, held.token)
    }

    /// Begins the release of a lease whose completion or release has not begun. Removes a lease that is
    /// ended or lost.
    pub(super) fn release_or_remove(&self, place: usize) -> Option<(EventKey, LeaseToken, Span)> {
        let mut leases = self.lock();
        let held = &mut leases[place];
        if held.stage == Stage::Handling {
            held.stage = Stage::Releasing;
            return Some((held.key, held.token, held.span().clone()));
        }
        let held = leases.remove(place);
        drop(leases); // before the span, whose subscribers may be slow
        drop(held);
        None
    }

    pub(super) fn renewed(&self, place: usize, then: &Held, until: Instant) {
        self.change(place, then, |held| held.until = until);
    }

    /// Records that a lease is lost. Returns `true` if this is its first report, while its handler runs.
    pub(super) fn lost(&self, place: usize, then: &Held) -> bool {
        let mut is_first = false;
        self.change(place, then, |held| {
            is_first = held.stage == Stage::Handling;
            if is_first {
                held.stage = Stage::Lost;
            }
        });
        is_first
    }

    /// Records that a lost lease was claimed again, to be completed.
    pub(super) fn regained(&self, place: usize, token: LeaseToken, until: Instant) {
        let held = &mut self.lock()[place];
        (held.token, held.until, held.stage) = (token, until, Stage::Completing);
    }

    /// Changes the lease at `place`, unless another lease than `then` is there now.
    fn change(&self, place: usize, then: &Held, change: impl FnOnce(&mut Held)) {
        let mut leases = self.lock();
        let held = leases.get_mut(place);
        if let Some(held) = held.filter(|now| now.key == then.key && now.token == then.token) {
            change(held);
        }
    }

    /// The leases to renew now, with their places.
    pub(super) fn due(&self) -> Vec<(usize, Held)> {
        let mut leases = self.lock();
        let due = leases.iter_mut().filter(|(_, held)| held.is_renewed());
        due.map(|(place, held)| {
            held.warn_if_overdue();
            (place, held.clone())
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
