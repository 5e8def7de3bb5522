//! What happens to a delivery before its handler: it is read, verified and claimed.

use std::{
    error::Error,
    fmt,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    Bondify, Claim, Delivery, Event, EventKey, Headers, Reply, StoreError,
    claim::{Attempt, Lease, Running},
    home::STORE_PATIENCE,
    request::{Head, ReadBody},
    telemetry::Record,
};

pin_project! {
    /// The future that [`Bondify::receive`] returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct Receive<S> {
        #[pin]
        body: ReadBody<S>,
        // Until the body is there.
        arrived: Option<Arrived>,
        // After that, if the store has to be waited for.
        admission: Option<BoxFuture<'static, Decision>>,
    }
}

impl<S> Receive<S> {
    pub(crate) fn new(bondify: &Bondify, headers: &dyn Headers, body: S) -> Self {
        let (head, record) = (Head::of(headers), Record::start());
        let body = ReadBody::new(body, bondify.body_limit(), record.received);
        let arrived = Arrived { bondify: bondify.clone(), head, record };
        Self { body, arrived: Some(arrived), admission: None }
    }
}

impl<S, C, E> Future for Receive<S>
where
    S: Stream<Item = Result<C, E>>,
    C: Buf,
{
    type Output = Result<Delivery, Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(arrived) = this.arrived {
            let body = ready!(arrived.record.span.in_scope(|| this.body.poll(context)));
            let Some(arrived) = this.arrived.take() else { return Poll::Pending };
            match arrived.admit(body) {
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
struct Arrived {
    bondify: Bondify,
    head: Head,
    record: Record,
}

type Decision = Result<Delivery, Reply>;

impl Arrived {
    /// Whether the delivery is to be handled, or what will tell.
    fn admit(
        self,
        body: Result<Bytes, Reply>,
    ) -> ControlFlow<Decision, BoxFuture<'static, Decision>> {
        let Self { bondify, head, mut record } = self;
        let span = record.span.clone();
        let _entered = span.enter();
        let event = match bondify.verify(head, body) {
            Ok(event) => event,
            Err(reply) => return ControlFlow::Break(Err(record.refused(reply))),
        };
        let key = event.key();
        record.verified(&event, key);
        let namespace = bondify.shared.settings.namespace.as_deref();
        let key = namespace.map_or(key, |namespace| key.within(namespace));
        let running = Running::new(bondify.shared.running.token());
        match bondify.admit_now(key, &running, &record) {
            Some(admitted) => ControlFlow::Break(conclude(event, running, record, admitted)),
            None => {
                let admission = async move {
                    let admitted = bondify.admit(key, &running, &record).await;
                    conclude(event, running, record, admitted)
                };
                ControlFlow::Continue(admission.instrument(span.clone()).boxed())
            }
        }
    }
}

/// The delivery to be handled, or the answer in its place.
fn conclude(
    event: Event,
    running: Running,
    mut record: Record,
    admitted: Result<Option<Lease>, Reply>,
) -> Decision {
    match admitted {
        Ok(lease) => Ok(Delivery::new(event, Claim::new(lease, record, running))),
        Err(reply) => Err(record.refused(reply)),
    }
}

impl Bondify {
    fn verify(&self, head: Head, body: Result<Bytes, Reply>) -> Result<Event, Reply> {
        head.media_type?;
        Ok(self.shared.verifier.check(body?, &head.signature?)?)
    }

    /// Claims the event if that takes no waiting. `Some(Ok(None))`: let through without a
    /// lease, as there is no store.
    fn admit_now(
        &self,
        key: EventKey,
        running: &Running,
        record: &Record,
    ) -> Option<Result<Option<Lease>, Reply>> {
        if self.shared.store.is_none() {
            return Some(Ok(None));
        }
        match self.claim_now(key, running, record)? {
            Attempt::Acquired(lease) => Some(Ok(Some(lease))),
            Attempt::Completed => Some(Err(Reply::Duplicate)),
            Attempt::InFlight => None,
        }
    }

    /// Claims the event, waiting while another holds it. `None`: let through without
    /// a lease.
    async fn admit(
        &self,
        key: EventKey,
        running: &Running,
        record: &Record,
    ) -> Result<Option<Lease>, Reply> {
        let Some(store) = &self.shared.store else { return Ok(None) };
        let now = Instant::now();
        let wait_until = now + self.shared.settings.wait;
        let answer_by = wait_until.max(now + STORE_PATIENCE) + ROUND_TRIP;
        let (mut pause, mut in_flight) = (FIRST_PAUSE, false);
        loop {
            match self.claim(store.shared.clone(), key, running, record, answer_by).await {
                Ok(Attempt::Acquired(lease)) => return Ok(Some(lease)),
                Ok(Attempt::Completed) => return Err(Reply::Duplicate),
                Ok(Attempt::InFlight) => in_flight = true,
                Err(error) if in_flight => {
                    tracing::error!(error = &error as &dyn Error, "no claim yet");
                }
                Err(error) => return self.without_store(&error),
            }
            tracing::debug!(?pause, "another delivery of this event is being handled");
            self.pause(pause, wait_until).await?;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn pause(&self, pause: Duration, wait_until: Instant) -> Result<(), Reply> {
        let now = Instant::now();
        if now >= wait_until {
            return Err(Reply::InFlight);
        }
        let pause = tokio::time::sleep_until(wait_until.min(now + pause));
        self.shared.leaving.run_until_cancelled(pause).await.ok_or(Reply::InFlight)
    }

    fn without_store(&self, error: &StoreError) -> Result<Option<Lease>, Reply> {
        let error = error as &dyn Error;
        if self.shared.settings.fail_open {
            tracing::error!(error, "no claim: the event is handled without deduplication");
            Ok(None)
        } else {
            tracing::error!(error, "no claim: the event is left to a retry");
            Err(Reply::StoreUnavailable)
        }
    }
}

/// Between two looks at a key that is in flight.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// For the last look, after the wait. The default wait leaves as much until Bondify
/// gives up.
const ROUND_TRIP: Duration = Duration::from_secs(1);
