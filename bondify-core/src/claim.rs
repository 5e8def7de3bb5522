use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use crate::{
    Bondify, Claimed, DedupeStore, EventKey, LeaseToken, StoreError, bondify::Shared,
    renewal::Renewal, store::Store, telemetry::Record,
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
    pub fn settle(mut self, status: u16) -> Settle {
        let accepted = (200..300).contains(&status);
        self.record.handled(accepted);
        self.end(accepted)
    }

    /// Settles the delivery of a handler that panicked: it is left to a retry.
    pub fn panicked(mut self) -> Settle {
        self.record.panicked();
        self.end(false)
    }

    pub(crate) fn span(&self) -> &Span {
        &self.record.span
    }

    fn end(mut self, accepted: bool) -> Settle {
        let held = self.lease.take().and_then(|mut lease| lease.0.take());
        let Some(held) = held.filter(|held| !held.ended_now(accepted)) else {
            return Settle(None);
        };
        let bondify = held.renewal.bondify.clone();
        let end = bondify.call_store(held.end(accepted), self.record.settle_by());
        let span = self.span().clone();
        let end = async move {
            if let Err(error) = end.await {
                let error = &error as &dyn Error;
                tracing::error!(parent: self.span(), error, accepted, "delivery not settled");
            }
        };
        Settle(Some(end.instrument(span).boxed()))
    }
}

/// The future that [`Claim::settle`] returns.
#[must_use = "dropping it may give the event back"]
pub struct Settle(Option<BoxFuture<'static, ()>>);

impl Future for Settle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Ready(()), |end| end.poll_unpin(context))
    }
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settle").finish_non_exhaustive()
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
    /// Claims at once, if the store is one in memory.
    pub(crate) fn claim_now(
        &self,
        key: EventKey,
        running: &Running,
        record: &Record,
    ) -> Option<Attempt> {
        let memory = self.shared.store.as_ref()?.memory.as_ref()?;
        self.at_home(|_| ())?; // for the renewals
        let claimed = memory.claim_now(&key, self.shared.settings.lease);
        let (span, since) = (record.span.clone(), record.received);
        Some(self.attempted(key, running.clone(), span, since, claimed))
    }

    pub(crate) fn claim(
        &self,
        store: Arc<dyn DedupeStore>,
        key: EventKey,
        running: &Running,
        record: &Record,
        deadline: Instant,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send + use<> {
        let (bondify, running) = (self.clone(), running.clone());
        let (span, since) = (record.span.clone(), record.received);
        let claim = async move {
            let (asked, lease) = (Instant::now(), bondify.shared.settings.lease);
            let claimed = store.claim(&key, lease).await?;
            let attempt = bondify.attempted(key, running, span, since, claimed);
            if asked.elapsed() >= lease {
                return Err(StoreError::new("the answer took longer than the lease"));
            }
            Ok(attempt)
        };
        self.call_store(claim, deadline)
    }

    fn attempted(
        &self,
        key: EventKey,
        running: Running,
        span: Span,
        since: Instant,
        claimed: Claimed,
    ) -> Attempt {
        match claimed {
            Claimed::Acquired(token) => {
                let renewal = Renewal::start(self, key, token, &span, since);
                let held = Held { key, token, renewal, span, _running: running };
                Attempt::Acquired(Lease(Some(held)))
            }
            Claimed::InFlight => Attempt::InFlight,
            Claimed::Completed => Attempt::Completed,
        }
    }
}

/// A lease in the store. Dropped unsettled, for instance because the delivery was
/// cancelled, it is released in the background.
pub(crate) struct Lease(Option<Held>);

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.0.take().filter(|held| !held.ended_now(false)) else { return };
        let Some(home) = held.renewal.bondify.home() else {
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
    key: EventKey,
    token: LeaseToken,
    renewal: Renewal,
    span: Span,
    _running: Running,
}

impl Held {
    /// Ends the lease at once, if the store is one in memory and the lease is not lost.
    fn ended_now(&self, accepted: bool) -> bool {
        let Self { key, token, renewal, .. } = self;
        let Shared { store, settings, .. } = self.shared();
        let Some(memory) = store.as_ref().and_then(|store| store.memory.as_ref()) else {
            return false;
        };
        renewal.settling();
        if accepted {
            memory.complete_now(key, token, settings.retention)
        } else {
            memory.release_now(key, token)
        }
    }

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
        let lease = self.shared().settings.lease;
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
        let Self { key, token, .. } = self;
        let Shared { store: Some(Store { shared: store, .. }), settings, .. } = self.shared()
        else {
            return Ok(());
        };
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
        let Some(store) = &self.shared().store else { return Ok(()) };
        if !store.shared.release(&self.key, &self.token).await? {
            tracing::error!("the lease ran out before the event was released");
        }
        Ok(())
    }

    fn shared(&self) -> &Shared {
        &self.renewal.bondify.shared
    }
}
