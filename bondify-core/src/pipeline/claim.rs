use std::{error::Error, fmt, sync::Arc};

use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use crate::{
    StoreError,
    lease::{Call, Lease},
    telemetry::Record,
};

/// The right to handle an event, held until it is settled.
///
/// For adapters of frameworks whose guards cannot wrap the handler; elsewhere
/// [`Delivery::run`](super::delivery::Delivery::run) settles by itself. A claim dropped
/// unsettled is released in the background, so that a retry is handled.
#[must_use = "dropping a claim gives its event back"]
pub struct Claim {
    lease: Option<Lease>,
    record: Record,
    _running: Arc<TaskTrackerToken>,
}

impl Claim {
    pub(super) fn new(
        lease: Option<Lease>,
        record: Record,
        running: Arc<TaskTrackerToken>,
    ) -> Self {
        Self { lease, record, _running: running }
    }

    /// Settles the delivery by the status that answers it: 2xx completes the event
    /// for good, anything else leaves it to a retry. Errors of the store are logged;
    /// they do not change the answer.
    ///
    /// The settlement begins at once. The answer should be sent when the returned future is
    /// ready.
    #[must_use = "the answer must not be sent before"]
    pub fn settle(mut self, status: u16) -> impl Future<Output = ()> + Send + use<> {
        let accepted = (200..300).contains(&status);
        self.record.handled(accepted);
        self.end(accepted)
    }

    /// Settles the delivery of a handler that panicked: it is left to a retry.
    #[must_use = "the answer must not be sent before"]
    pub fn panicked(mut self) -> impl Future<Output = ()> + Send + use<> {
        self.record.panicked();
        self.end(false)
    }

    pub(super) fn span(&self) -> &Span {
        &self.record.span
    }

    fn end(mut self, accepted: bool) -> impl Future<Output = ()> + Send + use<> {
        let lease = self.lease.take();
        let call = self.span().in_scope(|| lease.and_then(|lease| lease.settle(accepted)));
        async move {
            if let Some(call) = call {
                self.completed(call).await;
            }
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

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}
