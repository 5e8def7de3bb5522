use std::{error::Error, fmt, sync::Arc};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use crate::{
    Bondify, Claimed, DedupeStore, EventKey, LeaseToken, Reply, StoreError, renewal::Renewal,
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
    _running: Running,
}

/// Held by everything that `drain` waits for; one for each delivery.
pub(crate) type Running = Arc<TaskTrackerToken>;

impl Claim {
    pub(crate) fn new(lease: Option<Lease>, record: Record, running: Running) -> Self {
        Self { lease, record, _running: running }
    }

    /// Settles the delivery by the status that answers it: 2xx completes the event
    /// for good, anything else leaves it to a retry. Errors of the store are logged;
    /// they do not change the answer.
    pub fn settle(self, status: u16) -> impl Future<Output = ()> + Send + use<> {
        let accepted = (200..300).contains(&status);
        self.end(accepted, move |record| record.handled(accepted))
    }

    /// Settles the delivery of a handler that panicked: it is left to a retry. Returns
    /// the answer.
    pub fn panicked(self) -> impl Future<Output = Reply> + Send + use<> {
        self.end(false, Record::panicked).map(|()| Reply::HandlerPanicked)
    }

    pub(crate) fn span(&self) -> Span {
        self.record.span.clone()
    }

    /// The only one of these that is `async`, as each would hold the claim once more.
    async fn end(mut self, accepted: bool, note: impl FnOnce(&mut Record)) {
        note(&mut self.record);
        let Some(held) = self.lease.take().and_then(|mut lease| lease.0.take()) else { return };
        let bondify = held.bondify.clone();
        let end = bondify.call_store(held.end(accepted), self.record.settle_by());
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
    pub(crate) fn claim(
        &self,
        store: &Arc<dyn DedupeStore>,
        key: EventKey,
        running: &Running,
        deadline: Instant,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send + use<> {
        let (bondify, store, running) = (self.clone(), store.clone(), running.clone());
        let span = Span::current();
        let claim = async move {
            let (asked, lease) = (Instant::now(), bondify.shared.settings.lease);
            let token = match store.claim(&key, lease).await? {
                Claimed::Acquired(token) => token,
                Claimed::InFlight => return Ok(Attempt::InFlight),
                Claimed::Completed => return Ok(Attempt::Completed),
            };
            let renewal = Renewal::start(&bondify, key, token, &span);
            let held = Held { bondify, store, key, token, renewal, span, _running: running };
            let acquired = Lease(Some(held));
            if asked.elapsed() >= lease {
                return Err(StoreError::new("the answer took longer than the lease"));
            }
            Ok(Attempt::Acquired(acquired))
        };
        self.call_store(claim, deadline)
    }
}

/// A lease in the store. Dropped unsettled, for instance because the delivery was
/// cancelled, it is released in the background.
pub(crate) struct Lease(Option<Held>);

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        let Some(home) = held.bondify.home() else {
            return tracing::error!("a claim was dropped where no runtime could release it");
        };
        let span = held.span.clone();
        let release = async {
            if let Err(error) = held.end(false).await {
                tracing::error!(error = &error as &dyn Error, "a dropped claim was not released");
            }
        };
        home.spawn(release.instrument(span));
    }
}

/// What it takes to end a lease. It is renewed for as long as this lives.
struct Held {
    bondify: Bondify,
    store: Arc<dyn DedupeStore>,
    key: EventKey,
    token: LeaseToken,
    renewal: Renewal,
    span: Span,
    _running: Running,
}

impl Held {
    /// Completes or releases the lease. A completion that fails is tried again in the
    /// background, since the handler has succeeded and should not run again.
    async fn end(self, accepted: bool) -> Result<(), StoreError> {
        self.renewal.settling();
        let ended = if accepted { self.complete().await } else { self.release().await };
        if accepted && ended.is_err() {
            let span = self.span.clone();
            tokio::spawn(self.complete_later().instrument(span));
        }
        ended
    }

    async fn complete_later(self) {
        let lease = self.bondify.shared.settings.lease;
        let lost = Instant::now() + lease;
        let mut pause = lease / 100;
        while Instant::now() + pause < lost {
            sleep(pause).await;
            if self.complete().await.is_ok() {
                return;
            }
            pause = (lease / 10).min(pause * 2);
        }
        tracing::error!("an event that was handled is not completed, and may be handled again");
    }

    async fn complete(&self) -> Result<(), StoreError> {
        let Self { store, key, token, .. } = self;
        let settings = &self.bondify.shared.settings;
        if store.complete(key, token, settings.retention).await? {
            return Ok(());
        }
        // The lease is lost, but the handler has succeeded: unless somebody else is at
        // it, the event is done.
        let regained = match store.claim(key, settings.lease).await? {
            Claimed::Acquired(token) => store.complete(key, &token, settings.retention).await?,
            Claimed::InFlight => false,
            Claimed::Completed => {
                tracing::warn!("the event was completed already, by this delivery or another");
                return Ok(());
            }
        };
        tracing::error!(regained, "the lease ran out before the event was completed");
        Ok(())
    }

    async fn release(&self) -> Result<(), StoreError> {
        if !self.store.release(&self.key, &self.token).await? {
            tracing::error!("the lease ran out before the event was released");
        }
        Ok(())
    }
}
