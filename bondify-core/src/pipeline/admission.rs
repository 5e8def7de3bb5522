//! The claim of a verified event, whether it arrived by webhook or by a call of `handle`.

use std::{error::Error, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{
    claim::Claim,
    delivery::Delivery,
    shared::{Pipeline, Shared},
};
use crate::{
    Event, EventKey, Reply, StoreError,
    lease::{Attempt, Holder, Lease, LeaseManager},
    limits::{STORE_TIMEOUT, TIME_TO_ANSWER},
    telemetry::{Record, WaitingDuplicate},
};

/// A verified event that is to be handled unless it was handled before.
pub(super) struct Candidate {
    pipeline: Arc<Pipeline>,
    event: Event,
    record: Record,
    running: Arc<watch::Receiver<()>>,
}

/// The delivery to be handled, or the reason why it is not handled.
pub(super) type Admitted = Result<Delivery, NotAdmitted>;

/// The reason why an event is not handled.
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
        let running = Arc::new(pipeline.shared.running.subscribe());
        Self { pipeline, event, record, running }
    }

    /// Claims the event, and waits while another claim of it is held. Returns the decision if the store
    /// answers at once, else the future that makes it.
    pub(super) fn admit(self) -> ControlFlow<Admitted, BoxFuture<'static, Admitted>> {
        let span = self.record.span.clone();
        let _entered = span.enter();
        let Some(admission) = Admission::begin(&self) else {
            return ControlFlow::Break(self.decide(Ok(None)));
        };
        let at_once = admission.leases.claim_at_once(admission.key, &admission.holder);
        let in_flight = match at_once {
            Some(Ok(Attempt::Acquired(lease))) => {
                return ControlFlow::Break(self.decide(Ok(Some(lease))));
            }
            Some(Ok(Attempt::Completed)) => {
                return ControlFlow::Break(self.decide(Err(NotAdmitted::Completed)));
            }
            Some(Ok(Attempt::InFlight)) => true,
            Some(Err(error)) => {
                return ControlFlow::Break(self.decide(admission.without_store(error)));
            }
            None => false,
        };
        let decision = async move { self.decide(admission.wait(in_flight).await) };
        ControlFlow::Continue(decision.instrument(span.clone()).boxed())
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
    shared: Arc<Shared>,
    leases: LeaseManager,
    key: EventKey,
    holder: Holder,
    wait_until: Instant,
    give_up: Instant,
}

impl Admission {
    /// Prepares the claim. `None` if events are not claimed.
    fn begin(candidate: &Candidate) -> Option<Self> {
        let Candidate { pipeline, event, record, running } = candidate;
        let (shared, leases) = (pipeline.shared.clone(), pipeline.shared.leases.clone()?);
        let wait_until = record.received + shared.settings.wait;
        let give_up = wait_until.max(record.received + STORE_TIMEOUT) + TIME_TO_ANSWER;
        let holder = Holder::new(record.span.clone(), record.answer_by, running.clone());
        let key = pipeline.key(event);
        Some(Self { shared, leases, key, holder, wait_until, give_up })
    }

    /// Waits until the event can be handled, is completed, or the wait is over. Returns `None` if the
    /// event is handled without a lease. Of the waiters of one key in this process, one at a time asks the
    /// store.
    async fn wait(&self, in_flight: bool) -> Result<Option<Lease>, NotAdmitted> {
        let place = self.shared.waiting.join(self.key);
        let mut view = match place.head(self.give_up).await {
            Ok(view) => view,
            Err(late) => return self.without_store(StoreError::new(late)),
        };
        view.in_flight |= in_flight;
        loop {
            if view.completed {
                return Err(NotAdmitted::Completed);
            }
            if view.in_flight {
                self.pause(view.next_pause()).await?;
            } else if place.has_failed(&view) {
                return self.without_store(StoreError::new("a claim of the same event failed"));
            }
            match self.leases.claim(self.key, &self.holder, self.give_up).await {
                Ok(Attempt::Acquired(lease)) => {
                    view.acquired();
                    return Ok(Some(lease));
                }
                Ok(Attempt::Completed) => view.completed = true,
                Ok(Attempt::InFlight) => view.in_flight = true,
                Err(error) if view.in_flight => {
                    tracing::error!(error = &error as &dyn Error, "a claim failed; will try again");
                }
                Err(error) => {
                    place.failed(&mut view);
                    return self.without_store(error);
                }
            }
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), NotAdmitted> {
        let _waiting = WaitingDuplicate::start();
        tracing::debug!(?pause, "another delivery of this event is being handled");
        let now = Instant::now();
        if now >= self.wait_until {
            return Err(NotAdmitted::InFlight);
        }
        let mut leaving = self.shared.leaving.subscribe();
        let left = leaving.wait_for(|&leaving| leaving);
        match timeout_at(self.wait_until.min(now + pause), left).await {
            Err(_elapsed) => Ok(()),
            Ok(_left) => Err(NotAdmitted::InFlight),
        }
    }

    fn without_store(&self, error: StoreError) -> Result<Option<Lease>, NotAdmitted> {
        let source = &error as &dyn Error;
        if self.shared.settings.fail_open {
            tracing::error!(
                error = source,
                "the dedupe store failed: the event is handled without deduplication"
            );
            Ok(None)
        } else {
            tracing::error!(
                error = source,
                "the dedupe store failed: the event is left to a retry"
            );
            Err(NotAdmitted::StoreUnavailable(error))
        }
    }
}
