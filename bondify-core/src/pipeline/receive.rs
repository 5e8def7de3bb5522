//! The steps before a handler: a delivery is read, verified and claimed.

use std::{
    fmt,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::time::timeout;

use super::{
    admission::{Admitted, Candidate, NotAdmitted},
    delivery::Delivery,
    request::{BoxError, Head, ReadBody},
    shared::Pipeline,
};
use crate::{
    Bondify, Event, Reply,
    headers::Headers,
    limits::STORE_TIMEOUT,
    telemetry::{Record, Source},
};

pin_project! {
    /// The future that [`receive`](crate::adapter::receive) returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct Receive<S> {
        #[pin]
        body: ReadBody<S>,
        // Present until the body has arrived.
        pending: Option<PendingDelivery>,
        // Present after that, if the store does not answer at once.
        admission: Option<BoxFuture<'static, Admitted>>,
    }
}

impl<S> Receive<S> {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, headers: &dyn Headers, body: S) -> Self {
        let (head, record) = (Head::of(headers), Record::start(Source::Webhook));
        let body = ReadBody::new(body, pipeline.shared.settings.body_limit, record.received);
        let pending = PendingDelivery { pipeline: pipeline.clone(), head, record };
        Self { body, pending: Some(pending), admission: None }
    }
}

impl<S, C, E> Future for Receive<S>
where
    S: Stream<Item = Result<C, E>>,
    C: Buf,
    E: Into<BoxError>,
{
    type Output = Result<Delivery, Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(pending) = this.pending {
            let body = ready!(pending.record.span.in_scope(|| this.body.poll(context)));
            let Some(pending) = this.pending.take() else { return Poll::Pending };
            match pending.admit(body) {
                ControlFlow::Break(decision) => return Poll::Ready(decision),
                ControlFlow::Continue(admission) => *this.admission = Some(admission),
            }
        }
        match this.admission {
            Some(admission) => admission.poll_unpin(context).map_err(reply),
            None => Poll::Pending, // polled after it was ready
        }
    }
}

impl<S> fmt::Debug for Receive<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").finish_non_exhaustive()
    }
}

/// Waits for the `Bondify` that the application chooses for a request, before the body is read. Logs and
/// counts a refusal.
///
/// # Errors
///
/// The [`Reply`] to send: the application's own, such as [`Reply::ProjectNotFound`], or
/// [`Reply::StoreUnavailable`] if the choice takes longer than 5 seconds, the time-out of a store.
pub async fn choose(
    choice: impl Future<Output = Result<Bondify, Reply>>,
) -> Result<Bondify, Reply> {
    let chosen = timeout(STORE_TIMEOUT, choice).await.unwrap_or_else(|_late| {
        tracing::error!("choosing a request's project took too long: it is answered with 503");
        Err(Reply::StoreUnavailable)
    });
    chosen.map_err(|reply| Record::start(Source::Webhook).refused(reply))
}

fn reply(reason: NotAdmitted) -> Reply {
    Reply::from(&reason)
}

/// A delivery whose body has not arrived yet.
struct PendingDelivery {
    pipeline: Arc<Pipeline>,
    head: Head,
    record: Record,
}

/// The delivery to be handled, or the answer in its place.
type Decision = Result<Delivery, Reply>;

impl PendingDelivery {
    /// Returns the decision, or the future that makes it.
    fn admit(
        self,
        body: Result<Bytes, Reply>,
    ) -> ControlFlow<Decision, BoxFuture<'static, Admitted>> {
        let Self { pipeline, head, mut record } = self;
        let verified = record.span.in_scope(|| pipeline.verify(head, body));
        match verified {
            Ok(event) => Candidate::new(pipeline, event, record)
                .admit()
                .map_break(|admitted| admitted.map_err(reply)),
            Err(reply) => ControlFlow::Break(Err(record.refused(reply))),
        }
    }
}

impl Pipeline {
    fn verify(&self, head: Head, body: Result<Bytes, Reply>) -> Result<Event, Reply> {
        head.media_type?;
        Ok(self.verifier.check(body?, &head.signature?)?)
    }
}
