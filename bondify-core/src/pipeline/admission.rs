//! The claim of a verified event, whichever way it arrived.

use std::{error::Error, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{claim::Claim, delivery::Delivery, shared::Pipeline};
use crate::{
    Event, EventKey, Reply, StoreError,
    lease::{Attempt, Call, Holder, Lease, LeaseManager},
    limits::{FIRST_PAUSE, LONGEST_PAUSE, STORE_TIMEOUT, TIME_TO_ANSWER},
    telemetry::Record,
};

/// A verified event that is to be handled, unless it was handled before.
pub(super) struct Candidate {
    pipeline: Arc<Pipeline>,
    event: Event,
    record: Record,
    running: Arc<watch::Receiver<()>>,
}

/// The event to be handled, or the reason that it is not.
pub(super) type Admitted = Result<Delivery, NotAdmitted>;

/// The reason that an event is not handled.
#[derive(Debug)]
pub(super) enum NotAdmitted {
    Completed,
    InFlight,
    StoreUnavailable(StoreError),
}

impl From<&NotAdmitted> for Reply {
    fn from(reason: &NotAdmitted) -> Self {
        match reason {
            NotAdmitted::Completed => Self::Duplicate,
            NotAdmitted::InFlight => Self::InFlight,
            NotAdmitted::StoreUnavailable(_) => Self::StoreUnavailable,
        }
    }
}

impl Candidate {
    pub(super) fn new(pipeline: Arc<Pipeline>, event: Event, mut record: Record) -> Self {
        record.verified(&event);
        let running = Arc::new(pipeline.running.subscribe());
        Self { pipeline, event, record, running }
    }

    /// Claims the event, and waits while another claim of it is held. Decides at once if the
    /// store does, or returns the future that decides.
    pub(super) fn admit(self) -> ControlFlow<Admitted, BoxFuture<'static, Admitted>> {
        let span = self.record.span.clone();
        let _entered = span.enter();
        let Some(admission) = Admission::begin(&self) else {
            return ControlFlow::Break(self.decide(Ok(None)));
        };
        match admission.claim() {
            Call::Done(Ok(Attempt::Acquired(lease))) => {
                ControlFlow::Break(self.decide(Ok(Some(lease))))
            }
            Call::Done(Ok(Attempt::Completed)) => {
                ControlFlow::Break(self.decide(Err(NotAdmitted::Completed)))
            }
            first => {
                let decision = async move { self.decide(admission.wait(first).await) };
                ControlFlow::Continue(decision.instrument(span.clone()).boxed())
            }
        }
    }

    fn decide(self, admitted: Result<Option<Lease>, NotAdmitted>) -> Admitted {
        let Self { event, mut record, running, .. } = self;
        match admitted {
            Ok(lease) => Ok(Delivery::new(event, Claim::new(lease, record, running))),
            Err(reason) => {
                record.refused(Reply::from(&reason));
                Err(reason)
            }
        }
    }
}

/// The claim of a verified event, and the wait for it while another claim of it is held.
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
    fn begin(candidate: &Candidate) -> Option<Self> {
        let Candidate { pipeline, event, record, running } = candidate;
        let (pipeline, leases) = (pipeline.clone(), pipeline.leases.clone()?);
        let wait_until = record.received + pipeline.settings.wait;
        let give_up = wait_until.max(record.received + STORE_TIMEOUT) + TIME_TO_ANSWER;
        let holder = Holder::new(record.span.clone(), record.answer_by, running.clone());
        let key = pipeline.key(event);
        Some(Self { pipeline, leases, key, holder, wait_until, give_up })
    }

    fn claim(&self) -> Call<Result<Attempt, StoreError>> {
        self.leases.claim(self.key, self.holder.clone(), self.give_up)
    }

    /// Waits until the event can be handled, is completed or the wait is over. `None`: it is
    /// handled without a lease.
    async fn wait(
        self,
        first: Call<Result<Attempt, StoreError>>,
    ) -> Result<Option<Lease>, NotAdmitted> {
        let (mut call, mut pause, mut in_flight) = (first, FIRST_PAUSE, false);
        loop {
            match call.answer(self.give_up).await {
                Ok(Attempt::Acquired(lease)) => return Ok(Some(lease)),
                Ok(Attempt::Completed) => return Err(NotAdmitted::Completed),
                Ok(Attempt::InFlight) => in_flight = true,
                Err(error) if in_flight => {
                    tracing::error!(error = &error as &dyn Error, "no claim yet");
                }
                Err(error) => return self.without_store(error),
            }
            tracing::debug!(?pause, "another delivery of this event is being handled");
            self.pause(pause).await?;
            pause = LONGEST_PAUSE.min(pause * 2);
            call = self.claim();
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), NotAdmitted> {
        let now = Instant::now();
        if now >= self.wait_until {
            return Err(NotAdmitted::InFlight);
        }
        let mut leaving = self.pipeline.leaving.subscribe();
        let left = leaving.wait_for(|&leaving| leaving);
        match timeout_at(self.wait_until.min(now + pause), left).await {
            Err(_elapsed) => Ok(()),
            Ok(_left) => Err(NotAdmitted::InFlight),
        }
    }

    fn without_store(&self, error: StoreError) -> Result<Option<Lease>, NotAdmitted> {
        let source = &error as &dyn Error;
        if self.pipeline.settings.fail_open {
            tracing::error!(error = source, "no claim: the event is handled without deduplication");
            Ok(None)
        } else {
            tracing::error!(error = source, "no claim: the event is left to a retry");
            Err(NotAdmitted::StoreUnavailable(error))
        }
    }
}
