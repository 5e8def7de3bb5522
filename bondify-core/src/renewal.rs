//! Keeps the leases of running handlers, all of a `Bondify`'s in one task.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, Span};

use crate::{
    Bondify, EventKey, LeaseToken, bondify::Shared, home::unpanicking, telemetry::PATIENCE,
};

/// The leases to be renewed.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<HashMap<(EventKey, LeaseToken), Watch>>);

/// What is known of a lease besides its token.
struct Watch {
    span: Span,
    since: Instant,
    settling: bool,
    overdue: bool,
}

impl Renewals {
    fn watched(&self) -> MutexGuard<'_, HashMap<(EventKey, LeaseToken), Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases to be renewed now. Warns of handlers that are overdue, once for each.
    fn due(&self) -> Vec<(EventKey, LeaseToken, Span)> {
        let mut watched = self.watched();
        for watch in watched.values_mut().filter(|watch| !watch.overdue && !watch.settling) {
            watch.overdue = watch.since.elapsed() > PATIENCE;
            if watch.overdue {
                tracing::warn!(
                    parent: &watch.span,
                    "the handler is still running: Bondify has given this delivery up"
                );
            }
        }
        let leases = watched.iter().map(|(&(key, token), watch)| (key, token, watch.span.clone()));
        leases.collect()
    }

    /// Stops renewing a lease that was lost. `true` if that is news, since nobody is
    /// ending it at the moment.
    fn lost(&self, key: EventKey, token: LeaseToken) -> bool {
        let mut watched = self.watched();
        let unexpected = watched.get(&(key, token)).is_some_and(|watch| !watch.settling);
        unexpected && watched.remove(&(key, token)).is_some()
    }
}

/// Has a lease renewed for as long as it lives.
pub(crate) struct Renewal {
    shared: Arc<Shared>,
    key: EventKey,
    token: LeaseToken,
}

impl Renewal {
    pub(crate) fn start(bondify: &Bondify, key: EventKey, token: LeaseToken, span: &Span) -> Self {
        let span = span.clone();
        let watch = Watch { span, since: Instant::now(), settling: false, overdue: false };
        let shared = bondify.shared.clone();
        shared.renewals.watched().insert((key, token), watch);
        Self { shared, key, token }
    }

    /// From now on it is no surprise if the lease is gone.
    pub(crate) fn settling(&self) {
        if let Some(watch) = self.shared.renewals.watched().get_mut(&(self.key, self.token)) {
            watch.settling = true;
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.shared.renewals.watched().remove(&(self.key, self.token));
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
        let renew = |(key, token, span)| {
            let renewal = timeout(every, shared.renew(key, token));
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
    async fn renew(&self, key: EventKey, token: LeaseToken) {
        let Some(store) = &self.store else { return };
        let lease = self.settings.lease;
        match unpanicking(async { store.renew(&key, &token, lease).await }).await {
            Ok(true) => {}
            Ok(false) => {
                if self.renewals.lost(key, token) {
                    tracing::error!("a running handler lost its lease: a retry may run beside it");
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a lease was not renewed");
            }
        }
    }
}
