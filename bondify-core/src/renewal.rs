//! Keeps the leases of running handlers, all of a `Bondify`'s in one task.

use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use slab::Slab;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, Span};

use crate::{
    Bondify, EventKey, LeaseToken, bondify::Shared, home::unpanicking, telemetry::PATIENCE,
};

/// The leases to be renewed.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<Slab<Watch>>);

/// What is known of a lease.
struct Watch {
    key: EventKey,
    token: LeaseToken,
    span: Span,
    since: Instant,
    stage: Stage,
    overdue: bool,
}

#[derive(PartialEq)]
enum Stage {
    Running,
    Settling,
    Lost,
}

/// A lease as the renewer sees it: where it is watched, and what it was when it was due.
struct Due {
    place: usize,
    key: EventKey,
    token: LeaseToken,
    span: Span,
}

impl Renewals {
    fn watched(&self) -> MutexGuard<'_, Slab<Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases to be renewed now. Warns of handlers that are overdue, once for each.
    fn due(&self) -> Vec<Due> {
        let mut watched = self.watched();
        let running = |watch: &&mut Watch| watch.stage == Stage::Running && !watch.overdue;
        for watch in watched.iter_mut().map(|(_, watch)| watch).filter(running) {
            watch.overdue = watch.since.elapsed() > PATIENCE;
            if watch.overdue {
                tracing::warn!(
                    parent: &watch.span,
                    "the handler is still running: Bondify has given this delivery up"
                );
            }
        }
        let held = watched.iter().filter(|(_, watch)| watch.stage != Stage::Lost);
        held.map(|(place, &Watch { key, token, ref span, .. })| Due {
            place,
            key,
            token,
            span: span.clone(),
        })
        .collect()
    }

    /// Stops renewing a lease that was lost. `true` if that is news, since nobody is
    /// ending it at the moment.
    fn lost(&self, lease: &Due) -> bool {
        let mut watched = self.watched();
        let Some(watch) = watched.get_mut(lease.place) else { return false };
        let same = watch.key == lease.key && watch.token == lease.token;
        let unexpected = same && watch.stage == Stage::Running;
        if unexpected {
            watch.stage = Stage::Lost;
        }
        unexpected
    }
}

/// Has a lease renewed for as long as it lives.
pub(crate) struct Renewal {
    pub(crate) bondify: Bondify,
    place: usize,
}

impl Renewal {
    pub(crate) fn start(
        bondify: &Bondify,
        key: EventKey,
        token: LeaseToken,
        span: &Span,
        since: Instant,
    ) -> Self {
        let span = span.clone();
        let watch = Watch { key, token, span, since, stage: Stage::Running, overdue: false };
        let place = bondify.shared.renewals.watched().insert(watch);
        Self { bondify: bondify.clone(), place }
    }

    /// From now on it is no surprise if the lease is gone.
    pub(crate) fn settling(&self) {
        if let Some(watch) = self.bondify.shared.renewals.watched().get_mut(self.place)
            && watch.stage == Stage::Running
        {
            watch.stage = Stage::Settling;
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.bondify.shared.renewals.watched().try_remove(self.place);
    }
}

/// Renews the lease of every running handler every third of a lease, whatever its age:
/// most handlers end before their first renewal is due and cost no timer.
pub(crate) async fn renew_leases(shared: Weak<Shared>, every: Duration) {
    let mut ticks = interval_at(Instant::now() + every, every);
    // A store that hung for one round is asked again at once, and not in a volley.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let renew = |lease: Due| {
            let span = lease.span.clone();
            let renewal = timeout(every, shared.renew(lease));
            let renewal = async {
                if renewal.await.is_err() {
                    tracing::error!("a lease was not renewed in time: the store does not answer");
                }
            };
            renewal.instrument(span)
        };
        stream::iter(shared.renewals.due()).for_each_concurrent(None, renew).await;
    }
}

impl Shared {
    async fn renew(&self, lease: Due) {
        let Some(store) = &self.store else { return };
        let renewal =
            async { store.shared.renew(&lease.key, &lease.token, self.settings.lease).await };
        match unpanicking(renewal).await {
            Ok(true) => {}
            Ok(false) => {
                if self.renewals.lost(&lease) {
                    tracing::error!("a running handler lost its lease: a retry may run beside it");
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a lease was not renewed");
            }
        }
    }
}
