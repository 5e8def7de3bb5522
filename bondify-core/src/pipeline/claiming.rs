//! The claim of a verified event, whether it arrived by webhook or by a call of `handle`.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{claim::Claim, deadlines::Deadlines, shared::Pipeline};
use crate::{
    Event, EventKey, Reply, StoreError,
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
        let holder = Arc::new(Holder {
            span: record.span.clone(),
            answer_by: deadlines.answer_by,
            _running: self.shared.running.subscribe(),
        });
        let mut lease = None;
        if let Some(leases) = &self.shared.leases {
            let key = self.key(event);
            let claiming = Claiming { pipeline: self, leases, key, holder: &holder, deadlines };
            lease = match claiming.lease().instrument(record.span.clone()).await {
                Ok(lease) => Some(lease),
                Err(NotClaimed::StoreUnavailable(error)) if self.shared.settings.fail_open => {
                    tracing::error!(
                        parent: &record.span,
                        error = &error as &dyn Error,
                        "the dedupe store failed: the event is handled without deduplication"
                    );
                    None
                }
                Err(reason) => {
                    if let NotClaimed::StoreUnavailable(error) = &reason {
                        tracing::error!(
                            parent: &record.span,
                            error = error as &dyn Error,
                            "the dedupe store failed: the event is left to a retry"
                        );
                    }
                    record.refused(Reply::from(&reason));
                    return Err(reason);
                }
            };
        }
        Ok(Claim::new(lease, record, deadlines, holder))
    }
}

type ClaimCall = Call<Result<Lease, NotClaimed>>;

struct Claiming<'a> {
    pipeline: &'a Pipeline,
    leases: &'a Arc<Leases>,
    key: EventKey,
    holder: &'a Arc<Holder>,
    deadlines: Deadlines,
}

impl Claiming<'_> {
    async fn lease(&self) -> Result<Lease, NotClaimed> {
        if self.pipeline.shared.waiting.has_line(&self.key) {
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
        let give_up = self.deadlines.give_up();
        let place = self.pipeline.shared.waiting.join(self.key);
        let mut view = match place.try_head() {
            Some(view) => view,
            None => {
                // Another delivery has sent a claim at the same time. A lease that this one gets is released.
                drop(call.take());
                let _waiting = waiting_duplicate();
                timeout_at(give_up, place.head()).await.map_err(StoreError::new)?
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
                None if place.has_failed(&view) => {
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
        self.leases.claim(self.key, self.holder, self.deadlines.give_up()).await
    }

    async fn pause(&self, pause: Duration) -> Result<(), NotClaimed> {
        let _waiting = waiting_duplicate();
        tracing::debug!(?pause, "another delivery of this event is being handled");
        let (now, wait_until) = (Instant::now(), self.deadlines.wait_until());
        if now >= wait_until {
            return Err(NotClaimed::InFlight);
        }
        let mut leaving = self.pipeline.shared.leaving.subscribe();
        let left = leaving.wait_for(|&leaving| leaving);
        match timeout_at(wait_until.min(now + pause), left).await {
            Err(_elapsed) => Ok(()),
            Ok(_left) => Err(NotClaimed::InFlight),
        }
    }
}
