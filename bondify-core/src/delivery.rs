use std::{fmt, future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::{Claim, Event, Reply};

/// A verified event, claimed, and not yet handled. For adapters.
///
/// There is no way to the event but through a handler whose answer settles it, or
/// through the [`Claim`] that says so itself.
#[must_use = "dropping a delivery gives its event back"]
pub struct Delivery {
    event: Event,
    claim: Claim,
}

impl Delivery {
    pub(crate) fn new(event: Event, claim: Claim) -> Self {
        Self { event, claim }
    }

    /// Runs the handler and settles the delivery by the `status` of its response
    /// before returning that.
    ///
    /// A handler must not be cancelled by a client that hangs up: unless the framework
    /// sees to that, use [`spawn`](Self::spawn), or spawn this where futures need not
    /// be `Send`.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler panics. The event is then left to a
    /// retry.
    pub fn run<H, F, S>(
        self,
        handler: H,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>> + use<H, F, S>
    where
        H: FnOnce(Event) -> F,
        F: Future,
        S: FnOnce(&F::Output) -> u16,
    {
        let Self { event, claim } = self;
        // Made inside the future, so that a panic while making it is caught as well.
        let handling = async move {
            let response = handler(event).await;
            let status = status(&response);
            (response, status)
        };
        let handling = AssertUnwindSafe(handling.instrument(claim.span())).catch_unwind();
        // Not `await`: that would keep room for both futures, in a task per delivery.
        handling.then(async move |handled| match handled {
            Ok((response, status)) => {
                claim.settle(status).await;
                Ok(response)
            }
            Err(_panic) => Err(claim.panicked().await),
        })
    }

    /// [`run`](Self::run) in a task of its own, which goes on when the returned future
    /// is dropped: what is started is finished and settled.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] as for `run`, and if the runtime ends.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<H, F, S>(
        self,
        handler: H,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>> + Send + use<H, F, S>
    where
        H: FnOnce(Event) -> F + Send + 'static,
        F: Future<Output: Send + 'static> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        let task = tokio::spawn(self.run(handler, status));
        async { task.await.unwrap_or(Err(Reply::HandlerPanicked)) }
    }

    /// The event and the claim on it, for frameworks whose guards hand the event to a
    /// handler that they cannot wrap. The claim has to be settled by the status that
    /// the client gets in the end.
    pub fn into_parts(self) -> (Event, Claim) {
        (self.event, self.claim)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("event", &self.event).finish_non_exhaustive()
    }
}
