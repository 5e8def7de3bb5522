use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use tokio::{runtime::Handle, time::Instant};
use tracing::Instrument;

use crate::{
    Reply,
    lease::{Holder, Lease},
    telemetry::Record,
};

/// The right to handle a verified event, held until it is settled.
///
/// An adapter [runs](Self::run) its handler by it. One whose framework cannot wrap the handler keeps the claim
/// and [settles](Self::settle) it by the final response. A claim that is dropped unsettled is released in the
/// background, so that a retry is handled.
///
/// ```
/// use bondify_core::{Event, Reply, adapter::Claim};
///
/// /// Returns the status of the handler's response.
/// async fn run(event: Event, claim: Claim) -> Result<u16, Reply> {
///     let handler = async move || if event.user().is_some() { 204 } else { 422 };
///     claim.run(handler, |&status| status).await
/// }
/// ```
#[must_use = "dropping a claim releases its event"]
pub struct Claim {
    /// `None` if the event is handled without one.
    pub(crate) lease: Option<Lease>,
    pub(crate) record: Record,
    pub(crate) holder: Arc<Holder>,
}

impl Claim {
    /// Calls `handler`, polls its future, settles the claim by the `status` of its response, and returns the
    /// response. Errors of the store are logged and do not change it.
    ///
    /// A client that hangs up does not cancel the handler: if the returned future is dropped before its end,
    /// the handler continues in a task of its own, on the tokio runtime that it is dropped on, and is settled.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics. The event is then left to a retry.
    pub fn run<F, S>(
        self,
        handler: impl FnOnce() -> F,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        let handling = self.call(handler);
        finish_by(self.finish(handling, status), spawn_rest)
    }

    /// Runs a handler as [`run`](Self::run) does, where futures need not be `Send`. `spawn` has to spawn the
    /// future of a handler that is dropped before its end.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`], as for `run`.
    pub fn run_local<F, S>(
        self,
        spawn: fn(Pin<Box<dyn Future<Output = ()>>>),
        handler: impl FnOnce() -> F,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>>
    where
        F: Future + 'static,
        S: FnOnce(&F::Output) -> u16 + 'static,
    {
        let handling = self.call(handler);
        finish_by(self.finish(handling, status), move |rest| spawn(Box::pin(rest.map(drop))))
    }

    /// Settles the claim by the status of the response: 2xx completes the event for good, any other status
    /// leaves it to a retry. Errors of the store are logged. Await it before the response is sent.
    ///
    /// ```
    /// use bondify_core::adapter::Claim;
    ///
    /// /// For example a fairing of Rocket.
    /// async fn on_response(claim: Claim, status: u16) {
    ///     claim.settle(status).await; // then send the response
    /// }
    /// ```
    pub async fn settle(mut self, status: u16) {
        let (accepted, now) = ((200..300).contains(&status), Instant::now());
        let deadlines = &self.holder.deadlines;
        let settle_by = deadlines.settle_by(now);
        self.record.handled(accepted, deadlines.is_too_late(now));
        // Dropping the lease releases it. The response does not wait for that.
        let Some(lease) = self.lease.take().filter(|_| accepted) else { return };
        let _logged = lease.complete().answer(settle_by).await;
    }

    /// Releases the claim of a handler that panicked, so that the event is left to a retry.
    pub fn panicked(mut self) {
        self.record.panicked();
    }

    /// The future of the handler. `None` if it panics already.
    fn call<F>(&self, handler: impl FnOnce() -> F) -> Option<F> {
        self.record.span.in_scope(|| catch_unwind(AssertUnwindSafe(handler)).ok())
    }

    /// Polls the handler to its end and settles the claim.
    fn finish<F, S>(
        self,
        handling: Option<F>,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>>
    where
        F: Future,
        S: FnOnce(&F::Output) -> u16,
    {
        let span = self.record.span.clone();
        // Not an `async fn`, which would hold its arguments twice.
        let finish = async move {
            let response = match handling {
                Some(handling) => AssertUnwindSafe(handling).catch_unwind().await.ok(),
                None => None,
            };
            let handled = response.and_then(|response| {
                let status = catch_unwind(AssertUnwindSafe(|| status(&response))).ok()?;
                Some((response, status))
            });
            match handled {
                Some((_, status)) => self.settle(status).await,
                None => self.panicked(),
            }
            handled.map(|(response, _)| response).ok_or(Reply::HandlerPanicked)
        };
        finish.instrument(span)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

/// Runs `rest` to its end: `spawn` gets it if the returned future is dropped before. It is written by hand,
/// since only a `Drop` can tell that a client hung up.
fn finish_by<R: Future, S: FnOnce(Pin<Box<R>>) + Unpin>(rest: R, spawn: S) -> Finish<R, S> {
    Finish(Some((Box::pin(rest), spawn)))
}

/// `None` once it has ended.
struct Finish<R, S: FnOnce(Pin<Box<R>>)>(Option<(Pin<Box<R>>, S)>);

impl<R: Future, S: FnOnce(Pin<Box<R>>) + Unpin> Future for Finish<R, S> {
    type Output = R::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R::Output> {
        let Some((rest, _)) = &mut self.0 else { return Poll::Pending }; // polled after its end
        let output = ready!(rest.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<R, S: FnOnce(Pin<Box<R>>)> Drop for Finish<R, S> {
    fn drop(&mut self) {
        if let Some((rest, spawn)) = self.0.take() {
            spawn(rest);
        }
    }
}

fn spawn_rest(rest: impl Future<Output: Send> + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(rest)),
        Err(_) => {
            tracing::error!("a handler was cancelled: it was dropped outside of a tokio runtime")
        }
    }
}
