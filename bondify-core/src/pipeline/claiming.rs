//! The claim of a verified event, whether it arrived by webhook or by a call of `handle`.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    claim::Claim,
    shared::{Pipeline, Shared},
};
use crate::{
    Event, EventKey, Reply, StoreError,
    deadlines::Deadlines,
    lease::{Call, Holder, Lease, Leases, NotClaimed},
    telemetry::{Record, waiting_duplicate},
};

impl From<&NotClaimed> for Reply {
    fn from(reason: &NotClaimed) -> Self {
        match reason {
            NotClaimed::Completed => Self::Duplicate,
            NotClaimed::InFlight => Self::InFlight,
            NotClaimed::StoreUnavailable(_) => Self::StoreUnavailable,
        }
    }
}

impl Pipeline {
    /// Claims a verified event, and waits while another claim of it is held.
    pub(crate) async fn claim(
        &self,
        event: &Event,
        mut record: Record,
        deadlines: Deadlines,
    ) -> Result<Claim, NotClaimed> {
        record.verified(event);
        let (span, _running) = (record.span.clone(), self.shared.running.subscribe());
        let holder = Arc::new(Holder { span: span.clone(), deadlines, _running });
        match self.lease(event, &holder).instrument(span).await {
            Ok(lease) => {
                record.handling();
                Ok(Claim { lease, record, holder })
            }
            Err(reason) => {
                record.refused(Reply::from(&reason));
                Err(reason)
            }
        }
    }

    /// The lease of an event. `None` if it is to be handled without one.
    async fn lease(
        &self,
        event: &Event,
        holder: &Arc<Holder>,
    ) -> Result<Option<Lease>, NotClaimed> {
        let shared = &*self.shared;
        let Some(leases) = &shared.leases else { return Ok(None) };
        match (Claiming { shared, leases, key: self.key(event), holder }).lease().await {
            Err(NotClaimed::StoreUnavailable(error)) => {
                let (fail_open, source) = (shared.settings.fail_open, &error as &dyn Error);
                tracing::error!(error = source, fail_open, "the dedupe store failed");
                if fail_open { Ok(None) } else { Err(error.into()) }
            }
            claimed => claimed.map(Some),
        }
    }
}

type ClaimCall = Call<Lease, NotClaimed>;

struct Claiming<'a> {
    shared: &'a Shared,
    leases: &'a Arc<Leases>,
    key: EventKey,
    holder: &'a Arc<Holder>,
}

impl Claiming<'_> {
    async fn lease(&self) -> Result<Lease, NotClaimed> {
        if self.shared.waiting.has_line(&self.key) {
            return Box::pin(self.wait(None)).await;
        }
        // A store in memory answers at once: then there is nothing to wait for.
        match self.claim().await {
            Call::Done(answer @ (Ok(_) | Err(NotClaimed::Completed))) => answer,
            call => Box::pin(self.wait(Some(call))).await,
        }
    }

    /// Waits until the event can be handled, is completed, or the wait is over. Of the waiters of one key in
    /// this process, one at a time asks the store. `call` is a claim that is sent already.
    async fn wait(&self, mut call: Option<ClaimCall>) -> Result<Lease, NotClaimed> {
        let give_up = self.holder.deadlines.give_up;
        let (line, joined) = (self.shared.waiting.join(self.key), Instant::now());
        let mut view = match line.try_lock() {
            Ok(view) => view,
            Err(_) => {
                // Another delivery has sent a claim at the same time. A lease that this one gets is released.
                drop(call.take());
                let _waiting = waiting_duplicate();
                timeout_at(give_up, line.lock()).await.map_err(StoreError::new)?
            }
        };
        loop {
            let call = match call.take() {
                Some(call) => call,
                None if view.completed => return Err(NotClaimed::Completed),
                None if view.in_flight => {
                    self.pause(view.next_pause()).await?;
                    self.claim().await
                }
                None if view.failed.is_some_and(|failed| joined <= failed) => {
                    return Err(StoreError::new("a claim of the same event failed").into());
                }
                None => self.claim().await,
            };
            match call.answer(give_up).await {
                Ok(lease) => {
                    view.acquired();
                    return Ok(lease);
                }
                Err(NotClaimed::Completed) => view.completed = true,
                Err(NotClaimed::InFlight) => view.in_flight = true,
                Err(NotClaimed::StoreUnavailable(error)) if view.in_flight => {
                    tracing::error!(error = &error as &dyn Error, "a claim failed; will try again");
                }
                Err(unavailable) => {
                    view.failed = Some(Instant::now());
                    return Err(unavailable);
                }
            }
        }
    }

    async fn claim(&self) -> ClaimCall {
        self.leases.claim(self.key, self.holder).await
    }

    async fn pause(&self, pause: Duration) -> Result<(), NotClaimed> {
        let _waiting = waiting_duplicate();
        tracing::debug!(?pause, "another delivery of this event is being handled");
        let (now, wait_until) = (Instant::now(), self.holder.deadlines.wait_until);
        if now >= wait_until {
            return Err(NotClaimed::InFlight);
        }
        let mut leaving = self.shared.leaving.subscribe();
        let left = leaving.wait_for(|&leaving| leaving);
        match timeout_at(wait_until.min(now + pause), left).await {
            Err(_elapsed) => Ok(()),
            Ok(_left) => Err(NotClaimed::InFlight),
        }
    }
}
