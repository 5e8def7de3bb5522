use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;

use super::claim::{Claim, Settle};
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
    pub fn run<H, F, S>(self, handler: H, status: S) -> Run<F, S>
    where
        H: FnOnce(Event) -> F,
        F: Future,
        S: FnOnce(&F::Output) -> u16,
    {
        let (event, claim) = self.into_parts();
        let handler = AssertUnwindSafe(|| handler(event));
        let handling = claim.span().in_scope(|| catch_unwind(handler).ok());
        Run { handling, status: Some(status), claim: Some(claim), settling: None }
    }

    /// [`run`](Self::run), cancelled by nobody: dropped before it is done, it goes on in
    /// a task of its own, on the tokio runtime that it is dropped on. What is started is
    /// finished and settled.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] as for `run`.
    pub fn run_to_completion<H, F, S>(self, handler: H, status: S) -> Handling<F, S>
    where
        H: FnOnce(Event) -> F,
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        self.run_to_completion_by(spawn_rest, handler, status)
    }

    /// [`run_to_completion`](Self::run_to_completion) where futures need not be `Send`:
    /// `spawn_rest` has to spawn what is dropped before it is done.
    pub fn run_to_completion_by<H, F, S>(
        self,
        spawn_rest: fn(Pin<Box<Run<F, S>>>),
        handler: H,
        status: S,
    ) -> Handling<F, S>
    where
        H: FnOnce(Event) -> F,
        F: Future,
        S: FnOnce(&F::Output) -> u16,
    {
        Handling { run: Some(Box::pin(self.run(handler, status))), spawn_rest }
    }

    /// The event and the claim on it, for frameworks whose guards hand the event to a
    /// handler that they cannot wrap. The claim has to be settled by the status that
    /// the client gets in the end.
    pub fn into_parts(mut self) -> (Event, Claim) {
        self.claim.handling();
        (self.event, self.claim)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("event", &self.event).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future that [`Delivery::run`] returns. Written by hand: an `async` function moves the
    /// handler twice more, which costs a server 4 % of its requests.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F: Future, S> {
        // `None`: it is over, or panicked before it began.
        #[pin]
        handling: Option<F>,
        status: Option<S>,
        // Until the handler is over.
        claim: Option<Claim>,
        // After that, if the store has to be waited for.
        settling: Option<(Result<F::Output, Reply>, Settle)>,
    }
}

impl<F, S> Future for Run<F, S>
where
    F: Future,
    S: FnOnce(&F::Output) -> u16,
{
    type Output = Result<F::Output, Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(claim) = this.claim {
            let handling = this.handling.as_mut();
            let handled = claim.span().in_scope(|| poll_handler(handling, this.status, context));
            let handled = ready!(handled);
            *this.settling = this.claim.take().map(|claim| match handled {
                Some((response, status)) => (Ok(response), claim.settle(status)),
                None => (Err(Reply::HandlerPanicked), claim.panicked()),
            });
        }
        if let Some((_, settle)) = this.settling {
            ready!(settle.poll_unpin(context));
        }
        match this.settling.take() {
            Some((response, _)) => Poll::Ready(response),
            None => Poll::Pending, // polled after it was ready
        }
    }
}

/// The handler's response and the status that it is settled by. `None`: it panicked.
fn poll_handler<F, S>(
    mut handling: Pin<&mut Option<F>>,
    status: &mut Option<S>,
    context: &mut Context<'_>,
) -> Poll<Option<(F::Output, u16)>>
where
    F: Future,
    S: FnOnce(&F::Output) -> u16,
{
    let poll = AssertUnwindSafe(|| {
        let Some(running) = handling.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let response = ready!(running.poll(context));
        handling.set(None);
        let status = status.take().map(|status| status(&response));
        Poll::Ready(status.map(|status| (response, status)))
    });
    catch_unwind(poll).unwrap_or(Poll::Ready(None))
}

impl<F: Future, S> fmt::Debug for Run<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

/// The future that [`Delivery::run_to_completion`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct Handling<F: Future, S> {
    /// Until it is over.
    run: Option<Pin<Box<Run<F, S>>>>,
    spawn_rest: fn(Pin<Box<Run<F, S>>>),
}

impl<F, S> Future for Handling<F, S>
where
    F: Future,
    S: FnOnce(&F::Output) -> u16,
{
    type Output = Result<F::Output, Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(run) = &mut self.run else { return Poll::Pending }; // polled after it was ready
        let response = ready!(run.poll_unpin(context));
        self.run = None;
        Poll::Ready(response)
    }
}

impl<F: Future, S> Drop for Handling<F, S> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            (self.spawn_rest)(run);
        }
    }
}

/// Spawns what is left to run when a client hung up.
fn spawn_rest(run: impl Future<Output: Send> + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(run)),
        Err(_) => tracing::error!("a handler was cancelled where no runtime could go on with it"),
    }
}

impl<F: Future, S> fmt::Debug for Handling<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling").finish_non_exhaustive()
    }
}
