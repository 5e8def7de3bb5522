use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use bytes::Buf;
use futures_util::Stream;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    Builder, DedupeStore, Delivery, EventKey, Headers, Reply, Secret, StoreError, Verifier,
    builder::Settings,
    claim::{Attempt, Claim, Lease, Running},
    home::{Home, STORE_PATIENCE},
    renewal::Renewals,
    request::{Head, read_body},
    telemetry::Record,
};

/// Receives Bondify's webhooks: verifies, deduplicates, and settles each delivery by
/// what its handler answers.
///
/// A handle: clones share everything. Framework users attach it to a route and need
/// little more than [`builder`](Self::builder), [`rotate`](Self::rotate) and
/// [`drain`](Self::drain); [`receive`](Self::receive) is for adapters.
#[derive(Clone)]
pub struct Bondify {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) verifier: Verifier,
    pub(crate) store: Option<Arc<dyn DedupeStore>>,
    pub(crate) settings: Settings,
    pub(crate) home: Home,
    pub(crate) renewals: Renewals,
    /// Counts deliveries from their verification to their settlement, for `drain`.
    running: TaskTracker,
    leaving: CancellationToken,
}

impl Bondify {
    /// Begins with the project's webhook secret and the defaults.
    pub fn builder(secret: Secret) -> Builder {
        Builder::new(secret)
    }

    pub(crate) fn new(
        verifier: Verifier,
        store: Option<Arc<dyn DedupeStore>>,
        settings: Settings,
    ) -> Self {
        let shared = Shared {
            verifier,
            store,
            settings,
            home: Home::default(),
            renewals: Renewals::default(),
            running: TaskTracker::new(),
            leaving: CancellationToken::new(),
        };
        let this = Self { shared: Arc::new(shared) };
        this.home();
        this
    }

    /// From now on accepts what one of `secrets` signed, without a restart.
    ///
    /// "Regenerate key" in the dashboard takes effect at once, while retries of
    /// older deliveries still carry the old signature: keep the old secret beside
    /// the new one until the last of those is over. See [`Verifier::rotate`].
    pub fn rotate(&self, secrets: impl IntoIterator<Item = Secret>) {
        self.shared.verifier.rotate(secrets);
    }

    /// The largest body that is taken, in bytes.
    #[must_use]
    pub fn body_limit(&self) -> usize {
        self.shared.settings.body_limit
    }

    /// Waits until running handlers and settlements are over, and from now on sends
    /// deliveries away that would wait for another, so that Bondify retries them.
    ///
    /// Call it once the server has stopped accepting connections, before the runtime
    /// ends. A handler cut off by the runtime's end counts as crashed: its lease runs
    /// out before a retry reaches a handler.
    ///
    /// # Errors
    ///
    /// [`DrainTimedOut`] if that takes longer than `timeout`.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.shared.leaving.cancel();
        let running = &self.shared.running;
        running.close();
        tokio::time::timeout(timeout, running.wait())
            .await
            .map_err(|_| DrainTimedOut { running: running.len() })
    }

    /// For adapters: everything before the handler. Reads the body, verifies it,
    /// claims the event and, while another delivery of it is being handled, waits.
    ///
    /// The returned future borrows nothing; `Send` if `body` is. Dropping it leaves
    /// nothing claimed.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of running the handler.
    pub fn receive<S, C, E>(
        &self,
        headers: &dyn Headers,
        body: S,
    ) -> impl Future<Output = Result<Delivery, Reply>> + use<S, C, E>
    where
        S: Stream<Item = Result<C, E>>,
        C: Buf,
    {
        let (this, head) = (self.clone(), Head::of(headers));
        async move {
            let mut record = Record::start();
            let span = record.span.clone();
            let received = async {
                let body = read_body(body, this.body_limit()).await;
                head.media_type?;
                let event = this.shared.verifier.check(body?, &head.signature?)?;
                let key = event.key();
                record.verified(&event, key);
                let running = Running::new(this.shared.running.token());
                let lease = this.admit(key, &running).await?;
                Ok((event, lease, running))
            };
            match received.instrument(span).await {
                Ok((event, lease, running)) => {
                    Ok(Delivery::new(event, Claim::new(lease, record, running)))
                }
                Err(reply) => {
                    record.refused(reply);
                    Err(reply)
                }
            }
        }
    }

    /// Claims the event, waiting while another holds it. `None`: let through without
    /// a lease.
    async fn admit(&self, key: EventKey, running: &Running) -> Result<Option<Lease>, Reply> {
        let Some(store) = &self.shared.store else { return Ok(None) };
        let namespace = self.shared.settings.namespace.as_deref();
        let key = namespace.map_or(key, |namespace| key.within(namespace));
        let now = Instant::now();
        let wait_until = now + self.shared.settings.wait;
        let answer_by = wait_until.max(now + STORE_PATIENCE) + ROUND_TRIP;
        let (mut pause, mut in_flight) = (FIRST_PAUSE, false);
        loop {
            match self.claim(store, key, running, answer_by).await {
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

impl fmt::Debug for Bondify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bondify")
            .field("verifier", &self.shared.verifier)
            .field("settings", &self.shared.settings)
            .field("running", &self.shared.running.len())
            .finish_non_exhaustive()
    }
}

/// Handlers were still running when the time to [`drain`](Bondify::drain) was up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{running} deliveries were still being handled when the time to drain was up")]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// How many.
    pub running: usize,
}
