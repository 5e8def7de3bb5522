use std::{error::Error, fmt, sync::Arc};

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::{
    Bondify, Claimed, DedupeStore, EventKey, LeaseToken, Reply, StoreError, home::STORE_PATIENCE,
    telemetry::Record,
};

/// The right to handle an event, held until it is settled.
///
/// For adapters of frameworks whose guards cannot wrap the handler; elsewhere
/// [`Delivery::run`](crate::Delivery::run) settles by itself. A claim dropped
/// unsettled is released in the background, so that a retry is handled.
#[must_use = "dropping a claim gives its event back"]
pub struct Claim {
    lease: Option<Lease>,
    record: Record,
    _running: TaskTrackerToken,
}

impl Claim {
    pub(crate) fn new(lease: Option<Lease>, record: Record, running: TaskTrackerToken) -> Self {
        Self {
            lease,
            record,
            _running: running,
        }
    }

    /// Settles the delivery by the status that answers it: 2xx completes the event
    /// for good, anything else leaves it to a retry. Errors of the store are logged;
    /// they do not change the answer.
    pub async fn settle(mut self, status: u16) {
        let accepted = (200..300).contains(&status);
        self.record.handled(accepted);
        self.end(accepted).await;
    }

    /// Settles the delivery of a handler that panicked: it is left to a retry. Returns
    /// the answer.
    pub async fn panicked(mut self) -> Reply {
        self.record.panicked();
        self.end(false).await;
        Reply::HandlerPanicked
    }

    pub(crate) fn span(&self) -> tracing::Span {
        self.record.span.clone()
    }

    async fn end(mut self, accepted: bool) {
        let Some(held) = self.lease.take().and_then(|mut lease| lease.0.take()) else {
            return;
        };
        let bondify = held.bondify.clone();
        let end = bondify.call_store(held.end(accepted), Instant::now() + STORE_PATIENCE);
        if let Err(error) = end.instrument(self.span()).await {
            let error = &error as &dyn Error;
            tracing::error!(parent: &self.record.span, error, accepted, "delivery not settled");
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

/// What became of one try to claim.
pub(crate) enum Attempt {
    Acquired(Lease),
    InFlight,
    Completed,
}

impl Bondify {
    pub(crate) async fn claim(
        &self,
        store: &Arc<dyn DedupeStore>,
        key: EventKey,
        deadline: Instant,
    ) -> Result<Attempt, StoreError> {
        let (this, store) = (self.clone(), store.clone());
        let claim = async move {
            Ok(match store.claim(&key, this.shared.settings.lease).await? {
                Claimed::Acquired(token) => {
                    this.shared.leases().insert((key, token));
                    Attempt::Acquired(Lease(Some(Held {
                        bondify: this,
                        store,
                        key,
                        token,
                    })))
                }
                Claimed::InFlight => Attempt::InFlight,
                Claimed::Completed => Attempt::Completed,
            })
        };
        self.call_store(claim, deadline).await
    }
}

/// A lease in the store, renewed while this lives. Dropped unsettled, for instance
/// because the delivery was cancelled, it is released in the background.
pub(crate) struct Lease(Option<Held>);

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        let bondify = held.bondify.clone();
        let Some(home) = bondify.home() else {
            return tracing::error!("a claim was dropped where no runtime could release it");
        };
        let release = async {
            if let Err(error) = held.end(false).await {
                tracing::error!(
                    error = &error as &dyn Error,
                    "a dropped claim was not released"
                );
            }
        };
        home.spawn(
            bondify
                .shared
                .running
                .track_future(release.in_current_span()),
        );
    }
}

struct Held {
    bondify: Bondify,
    store: Arc<dyn DedupeStore>,
    key: EventKey,
    token: LeaseToken,
}

impl Held {
    async fn end(self, accepted: bool) -> Result<(), StoreError> {
        let Self {
            bondify,
            store,
            key,
            token,
        } = self;
        bondify.shared.leases().remove(&(key, token));
        let still_held = if accepted {
            store
                .complete(&key, &token, bondify.shared.settings.retention)
                .await?
        } else {
            store.release(&key, &token).await?
        };
        if !still_held {
            tracing::error!(accepted, "the lease ran out before the handler ended");
        }
        Ok(())
    }
}
