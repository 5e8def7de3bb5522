//! The steps of an event that did not arrive by HTTP.

use std::{ops::ControlFlow, sync::Arc};

use super::{
    admission::{Candidate, NotAdmitted},
    shared::Pipeline,
};
use crate::{
    Event, Reply, StoreError,
    telemetry::{Record, Source},
};

/// The result of [`Bondify::handle`](crate::Bondify::handle).
#[expect(clippy::exhaustive_enums, reason = "an event was handled before, or it was not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled<T> {
    /// The handler ran and succeeded. This is its value.
    Now(T),
    /// The event was handled before, by a webhook, a poll or another instance. The handler did
    /// not run.
    Before,
}

/// The error of [`Bondify::handle`](crate::Bondify::handle). The event is not completed.
///
/// It implements [`Error`](std::error::Error) if the handler's error implements `Display`. So do
/// `Box<dyn Error + Send + Sync>` and `anyhow::Error`, which do not implement `Error` themselves.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError<E> {
    /// Another handler of the event is still running after the wait, or the process is draining.
    #[error("the event is being handled elsewhere; handle it again later")]
    InFlight,
    /// The dedupe store could not answer.
    #[error("the dedupe store is unavailable; handle the event again later")]
    StoreUnavailable(#[source] StoreError),
    /// The event is older than the tolerance, or too far in the future. The store may have forgotten
    /// that it was handled.
    #[error(
        "the event is older than the tolerance or too far in the future: the store may have forgotten \
         that it was handled"
    )]
    Stale,
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The handler returned an error.
    #[error("the handler failed: {0}")]
    Handler(E),
}

impl Pipeline {
    pub(crate) async fn handle<T, E, F>(
        self: Arc<Self>,
        event: Event,
        handler: impl FnOnce(Event) -> F,
    ) -> Result<Handled<T>, HandleError<E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let candidate = self.fresh(event).ok_or(HandleError::Stale)?;
        let admitted = match candidate.admit() {
            ControlFlow::Break(admitted) => admitted,
            ControlFlow::Continue(admission) => admission.await,
        };
        let delivery = match admitted {
            Ok(delivery) => delivery,
            Err(NotAdmitted::Completed) => return Ok(Handled::Before),
            Err(NotAdmitted::InFlight) => return Err(HandleError::InFlight),
            Err(NotAdmitted::StoreUnavailable(error)) => {
                return Err(HandleError::StoreUnavailable(error));
            }
        };
        let status = |handled: &Result<T, E>| if handled.is_ok() { 200 } else { 500 };
        match delivery.run_to_completion(handler, status).await {
            Ok(Ok(value)) => Ok(Handled::Now(value)),
            Ok(Err(error)) => Err(HandleError::Handler(error)),
            Err(_panicked) => Err(HandleError::Panicked),
        }
    }

    /// The event as a candidate. `None` if it is outside the tolerance.
    fn fresh(self: Arc<Self>, event: Event) -> Option<Candidate> {
        let mut record = Record::start(Source::Handle);
        if self.verifier.check_age(&event).is_err() {
            record.verified(&event);
            record.refused(Reply::StaleEvent);
            return None;
        }
        Some(Candidate::new(self, event, record))
    }
}
