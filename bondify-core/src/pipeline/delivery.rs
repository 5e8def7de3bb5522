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

/// A verified and claimed event that is not yet handled. For adapters.
///
/// An adapter gets the event only in a handler whose answer settles the delivery, or together with the
/// [`Claim`] that it has to settle.
#[must_use = "dropping a delivery releases its event"]
pub struct Delivery {
    event: Event,
    claim: Claim,
}

impl Delivery {
    pub(crate) fn new(event: Event, claim: Claim) -> Self {
        Self { event, claim }
    }

    /// Runs the handler, settles the delivery by the `status` of its response, and returns the response.
    ///
    /// The handler is called at once, and the returned future polls the handler's future. Dropping it
    /// cancels the handler. A client that hangs up must not cancel a handler: unless the framework
    /// ensures that, use [`run_to_completion`](Self::run_to_completion).
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics. The event is then left to a retry.
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

    /// Runs the handler as [`run`](Self::run) does, to its end. If the returned future is dropped before,
    /// the handler continues in a task of its own, on the tokio runtime that it is dropped on, and its
    /// delivery is settled.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics, as for `run`.
    pub fn run_to_completion<H, F, S>(self, handler: H, status: S) -> Handling<F, S>
    where
        H: FnOnce(Event) -> F,
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        self.run_to_completion_by(spawn_rest, handler, status)
    }

    /// Runs the handler as [`run_to_completion`](Self::run_to_completion) does, where futures need not be
    /// `Send`. `spawn_rest` has to spawn the future of a handler that is dropped before its end.
    ///
    /// # Errors
    ///
    /// The returned future fails with [`Reply::HandlerPanicked`] if the handler or `status` panics.
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

    /// Returns the event and its claim, for frameworks whose guards pass the event to a handler that they
    /// cannot wrap. Settle the claim by the final status, the one that the client gets.
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
    /// The future that [`Delivery::run`] returns.
    // It is written by hand, since an `async` function moves the handler twice more, which costs a
    // server 4 % of its requests.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F: Future, S> {
        // `None` if the handler has ended, or panicked before it returned a future.
        #[pin]
        handling: Option<F>,
        status: Option<S>,
        // Present until the handler has ended.
        claim: Option<Claim>,
        // Present after that, until the delivery is settled.
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

/// The handler's response and the status that settles it. `None` if it panicked.
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
    /// `None` once it has ended.
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

/// Spawns the rest of a handler whose client hung up.
fn spawn_rest(run: impl Future<Output: Send> + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(run)),
        Err(_) => {
            tracing::error!("a handler was cancelled: it was dropped outside of a tokio runtime")
        }
    }
}

impl<F: Future, S> fmt::Debug for Handling<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling").finish_non_exhaustive()
    }
}
