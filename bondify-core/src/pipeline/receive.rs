//! The steps before a handler: a delivery is read, verified and claimed.

use std::{
    error::Error,
    fmt,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{
    claim::Claim,
    delivery::Delivery,
    request::{BoxError, Head, ReadBody},
    shared::Pipeline,
};
use crate::{
    Event, EventKey, Reply, StoreError,
    headers::Headers,
    lease::{Attempt, Call, Holder, Lease, LeaseManager},
    limits::{FIRST_PAUSE, LONGEST_PAUSE, STORE_TIMEOUT, TIME_TO_ANSWER},
    telemetry::Record,
};

pin_project! {
    /// The future that [`receive`](crate::adapter::receive) returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct Receive<S> {
        #[pin]
        body: ReadBody<S>,
        // Until the body is there.
        pending: Option<PendingDelivery>,
        // After that, if the store has to be waited for.
        admission: Option<BoxFuture<'static, Decision>>,
    }
}

impl<S> Receive<S> {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, headers: &dyn Headers, body: S) -> Self {
        let (head, record) = (Head::of(headers), Record::start());
        let body = ReadBody::new(body, pipeline.settings.body_limit, record.received);
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
            Some(admission) => admission.poll_unpin(context),
            None => Poll::Pending, // polled after it was ready
        }
    }
}

impl<S> fmt::Debug for Receive<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").finish_non_exhaustive()
    }
}

/// A delivery whose body is still to come.
struct PendingDelivery {
    pipeline: Arc<Pipeline>,
    head: Head,
    record: Record,
}

/// The delivery to be handled, or the answer in its place.
type Decision = Result<Delivery, Reply>;

impl PendingDelivery {
    /// Decides on the delivery, or returns the future that does.
    fn admit(
        self,
        body: Result<Bytes, Reply>,
    ) -> ControlFlow<Decision, BoxFuture<'static, Decision>> {
        let Self { pipeline, head, mut record } = self;
        let span = record.span.clone();
        let _entered = span.enter();
        let event = match pipeline.verify(head, body) {
            Ok(event) => event,
            Err(reply) => return ControlFlow::Break(Err(record.refused(reply))),
        };
        let key = pipeline.key(&event);
        record.verified(&event, event.key());
        let running = Arc::new(pipeline.running.subscribe());
        let pending = Verified { event, record, running };
        let Some(admission) = Admission::begin(pipeline, key, &pending) else {
            return ControlFlow::Break(pending.decide(Ok(None)));
        };
        match admission.claim() {
            Call::Done(Ok(Attempt::Acquired(lease))) => {
                ControlFlow::Break(pending.decide(Ok(Some(lease))))
            }
            Call::Done(Ok(Attempt::Completed)) => {
                ControlFlow::Break(pending.decide(Err(Reply::Duplicate)))
            }
            first => {
                let decision = async move { pending.decide(admission.wait(first).await) };
                ControlFlow::Continue(decision.instrument(span.clone()).boxed())
            }
        }
    }
}

/// A verified event whose claim is still to be decided.
struct Verified {
    event: Event,
    record: Record,
    running: Arc<watch::Receiver<()>>,
}

impl Verified {
    fn decide(self, admitted: Result<Option<Lease>, Reply>) -> Decision {
        let Self { event, mut record, running } = self;
        match admitted {
            Ok(lease) => Ok(Delivery::new(event, Claim::new(lease, record, running))),
            Err(reply) => Err(record.refused(reply)),
        }
    }
}

impl Pipeline {
    fn verify(&self, head: Head, body: Result<Bytes, Reply>) -> Result<Event, Reply> {
        head.media_type?;
        Ok(self.verifier.check(body?, &head.signature?)?)
    }

    /// The key that the event is claimed by.
    fn key(&self, event: &Event) -> EventKey {
        let namespace = self.settings.namespace.as_deref();
        namespace.map_or(event.key(), |namespace| event.key().within(namespace))
    }
}

/// The claim of a verified event, and the wait for it while another delivery holds it.
struct Admission {
    pipeline: Arc<Pipeline>,
    leases: LeaseManager,
    key: EventKey,
    holder: Holder,
    wait_until: Instant,
    give_up: Instant,
}

impl Admission {
    /// `None` if events are not claimed.
    fn begin(pipeline: Arc<Pipeline>, key: EventKey, delivery: &Verified) -> Option<Self> {
        let leases = pipeline.leases.clone()?;
        let Verified { record, running, .. } = delivery;
        let (span, received) = (record.span.clone(), record.received);
        let wait_until = received + pipeline.settings.wait;
        let give_up = wait_until.max(received + STORE_TIMEOUT) + TIME_TO_ANSWER;
        let holder = Holder::new(span, received, running.clone());
        Some(Self { pipeline, leases, key, holder, wait_until, give_up })
    }

    fn claim(&self) -> Call<Result<Attempt, StoreError>> {
        self.leases.claim(self.key, self.holder.clone(), self.give_up)
    }

    /// Waits until the event can be handled, is completed or the wait is over. `None`: it is
    /// handled without a lease.
    async fn wait(self, first: Call<Result<Attempt, StoreError>>) -> Result<Option<Lease>, Reply> {
        let (mut call, mut pause, mut in_flight) = (first, FIRST_PAUSE, false);
        loop {
            match call.answer(self.give_up).await {
                Ok(Attempt::Acquired(lease)) => return Ok(Some(lease)),
                Ok(Attempt::Completed) => return Err(Reply::Duplicate),
                Ok(Attempt::InFlight) => in_flight = true,
                Err(error) if in_flight => {
                    tracing::error!(error = &error as &dyn Error, "no claim yet");
                }
                Err(error) => return self.without_store(&error),
            }
            tracing::debug!(?pause, "another delivery of this event is being handled");
            self.pause(pause).await?;
            pause = LONGEST_PAUSE.min(pause * 2);
            call = self.claim();
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), Reply> {
        let now = Instant::now();
        if now >= self.wait_until {
            return Err(Reply::InFlight);
        }
        let mut leaving = self.pipeline.leaving.subscribe();
        let left = leaving.wait_for(|&leaving| leaving);
        match timeout_at(self.wait_until.min(now + pause), left).await {
            Err(_elapsed) => Ok(()),
            Ok(_left) => Err(Reply::InFlight),
        }
    }

    fn without_store(&self, error: &StoreError) -> Result<Option<Lease>, Reply> {
        let error = error as &dyn Error;
        if self.pipeline.settings.fail_open {
            tracing::error!(error, "no claim: the event is handled without deduplication");
            Ok(None)
        } else {
            tracing::error!(error, "no claim: the event is left to a retry");
            Err(Reply::StoreUnavailable)
        }
    }
}
