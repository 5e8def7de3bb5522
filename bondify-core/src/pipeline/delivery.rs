use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, LocalBoxFuture},
};
use tokio::runtime::Handle;
use tracing::Instrument;

use super::claim::Claim;
use crate::{Event, Reply};

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
    /// The handler is called at once; the returned future runs what it returned, and
    /// dropped, cancels it. A handler must not be cancelled by a client that hangs up:
    /// unless the framework sees to that, use
    /// [`run_to_completion`](Self::run_to_completion).
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
        settled(self.call(handler), status)
    }

    /// [`run`](Self::run), cancelled by nobody: dropped before it is done, it continues in
    /// a task of its own, on the tokio runtime that it is dropped on. What is started is
    /// finished and settled.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] as for `run`.
    pub fn run_to_completion<H, F, S>(
        self,
        handler: H,
        status: S,
    ) -> Handling<BoxFuture<'static, Result<F::Output, Reply>>>
    where
        H: FnOnce(Event) -> F,
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        Handling { run: Some(settled(self.call(handler), status).boxed()), spawn_rest }
    }

    /// [`run_to_completion`](Self::run_to_completion) where futures need not be `Send`:
    /// `spawn_rest` has to spawn what is dropped before it is done.
    pub fn run_to_completion_by<H, F, S>(
        self,
        spawn_rest: fn(LocalBoxFuture<'static, Result<F::Output, Reply>>),
        handler: H,
        status: S,
    ) -> Handling<LocalBoxFuture<'static, Result<F::Output, Reply>>>
    where
        H: FnOnce(Event) -> F,
        F: Future + 'static,
        S: FnOnce(&F::Output) -> u16 + 'static,
    {
        Handling { run: Some(settled(self.call(handler), status).boxed_local()), spawn_rest }
    }

    fn call<F>(self, handler: impl FnOnce(Event) -> F) -> (Claim, Result<F, Panic>) {
        let Self { event, claim } = self;
        let call = AssertUnwindSafe(|| handler(event));
        let started = claim.span().in_scope(|| catch_unwind(call));
        (claim, started)
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

type Panic = Box<dyn Any + Send>;

/// Runs a handler that was called, unless it panicked then, and settles its delivery.
fn settled<F: Future, S: FnOnce(&F::Output) -> u16>(
    (claim, started): (Claim, Result<F, Panic>),
    status: S,
) -> impl Future<Output = Result<F::Output, Reply>> + use<F, S> {
    let span = claim.span().clone();
    let run = async move {
        let handled = async {
            let response = started.ok()?.await;
            let status = status(&response);
            Some((response, status))
        };
        match AssertUnwindSafe(handled).catch_unwind().await {
            Ok(Some((response, status))) => {
                claim.settle(status).await;
                Ok(response)
            }
            Ok(None) | Err(_) => {
                claim.panicked().await;
                Err(Reply::HandlerPanicked)
            }
        }
    };
    run.instrument(span)
}

/// The future that [`Delivery::run_to_completion`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct Handling<R> {
    /// Until it is over.
    run: Option<R>,
    spawn_rest: fn(R),
}

impl<R: Future + Unpin> Future for Handling<R> {
    type Output = R::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(run) = &mut self.run else { return Poll::Pending }; // polled after it was ready
        let response = ready!(run.poll_unpin(context));
        self.run = None;
        Poll::Ready(response)
    }
}

impl<R> Unpin for Handling<R> {}

impl<R> Drop for Handling<R> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            (self.spawn_rest)(run);
        }
    }
}

/// Continues what a client that hung up leaves behind.
fn spawn_rest<T: Send + 'static>(run: BoxFuture<'static, T>) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(run)),
        Err(_) => {
            tracing::error!("a handler was cancelled: there is no tokio runtime to continue it")
        }
    }
}

impl<R> fmt::Debug for Handling<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling").finish_non_exhaustive()
    }
}
