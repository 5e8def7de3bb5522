use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::watch;
use tracing::{Instrument, Span};

use crate::{
    StoreError,
    lease::{Call, Lease},
    telemetry::Record,
};

/// The right to handle an event, held until it is settled.
///
/// It is for adapters of frameworks whose guards cannot wrap the handler. In other adapters
/// [`Delivery::run`](super::delivery::Delivery::run) settles the delivery. A claim that is dropped
/// unsettled is released in the background, so that a retry is handled.
#[must_use = "dropping a claim releases its event"]
pub struct Claim {
    lease: Option<Lease>,
    record: Record,
    _running: Arc<watch::Receiver<()>>,
}

impl Claim {
    pub(super) fn new(
        lease: Option<Lease>,
        record: Record,
        running: Arc<watch::Receiver<()>>,
    ) -> Self {
        Self { lease, record, _running: running }
    }

    /// Settles the delivery by the status of its answer: 2xx completes the event for good, any other
    /// status leaves it to a retry. Errors of the store are logged and do not change the answer.
    pub fn settle(mut self, status: u16) -> Settle {
        let accepted = (200..300).contains(&status);
        self.record.handled(accepted);
        self.end(accepted)
    }

    /// Settles the delivery of a handler that panicked. The event is left to a retry.
    pub fn panicked(mut self) -> Settle {
        self.record.panicked();
        self.end(false)
    }

    pub(super) fn handling(&mut self) {
        self.record.handling();
    }

    pub(super) fn span(&self) -> &Span {
        &self.record.span
    }

    fn end(mut self, accepted: bool) -> Settle {
        let lease = self.lease.take();
        let call = self.span().in_scope(|| lease.and_then(|lease| lease.settle(accepted)));
        match call {
            None | Some(Call::Done(Ok(()))) => Settle(None),
            Some(call) => Settle(Some(self.completed(call).boxed())),
        }
    }

    /// Waits for a completion, in time to answer.
    async fn completed(self, call: Call<Result<(), StoreError>>) {
        let completed = call.answer(self.record.settle_by()).instrument(self.span().clone());
        if let Err(error) = completed.await {
            tracing::error!(
                parent: self.span(),
                error = &error as &dyn Error,
                "the event is not completed yet; will try again"
            );
        }
    }
}

/// The future that [`Claim::settle`] returns.
#[must_use = "await it before the answer is sent"]
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
