//! The claim of a verified event, whether it arrived by webhook or by a call of `handle`.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::shared::Shared;
use crate::{
    EventKey, StoreError,
    lease::{Call, Holder, Lease, Leases, NotClaimed},
    telemetry::waiting_duplicate,
};

/// A claim of an event for a delivery.
pub(crate) struct Claiming<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) leases: &'a Arc<Leases>,
    pub(crate) key: EventKey,
    pub(crate) holder: &'a Arc<Holder>,
}

type ClaimCall = Call<Lease, NotClaimed>;

impl Claiming<'_> {
    /// The lease of the event, as soon as no other claim of it is held.
    pub(crate) async fn lease(&self) -> Result<Lease, NotClaimed> {
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

    fn claim(&self) -> impl Future<Output = ClaimCall> {
        self.leases.claim(self.key, self.holder)
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
