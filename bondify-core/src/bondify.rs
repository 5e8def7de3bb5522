use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

#[cfg(feature = "proof")]
use crate::ProofVerifier;
use crate::{
    BuildError, DedupeStore, DrainTimedOut, Event, HandleError, Handled, MemoryStore, Secret,
    Verifier, limits, pipeline::Pipeline, settings::Settings, telemetry,
};

/// Receives Bondify's webhooks: verifies, deduplicates, and settles each delivery by
/// what its handler answers.
///
/// A handle: clones share everything. Framework users attach it to a route and need
/// little more than [`builder`](Self::builder), [`rotate`](Self::rotate) and
/// [`drain`](Self::drain); adapters [receive](crate::adapter::receive) through it.
#[derive(Clone)]
pub struct Bondify {
    pub(crate) pipeline: Arc<Pipeline>,
}

impl Bondify {
    /// Begins with the project's webhook secret and the defaults.
    pub fn builder(secret: Secret) -> Builder {
        Builder::new(secret)
    }

    /// Replaces the secrets without a restart: accepts deliveries that `secret` or one of
    /// `old` signed, and no others.
    ///
    /// "Regenerate key" in the dashboard takes effect at once, while retries of
    /// older deliveries still carry the old signature: keep the old secret beside
    /// the new one until the last of those is over.
    pub fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.pipeline.verifier.rotate(secret, old);
    }

    /// The number of deliveries, and of calls of [`handle`](Self::handle), that are verified and
    /// neither settled nor answered: their handlers run, or they wait for another. Those of all
    /// projects that share this one's store.
    #[must_use]
    pub fn running(&self) -> usize {
        self.pipeline.shared.running()
    }

    /// The largest body that is taken, in bytes.
    #[must_use]
    pub fn body_limit(&self) -> usize {
        self.pipeline.shared.settings.body_limit
    }

    /// The age beyond which events are refused, see [`Builder::tolerance`].
    #[must_use]
    pub fn tolerance(&self) -> Duration {
        self.pipeline.shared.settings.tolerance
    }

    /// Whether events that were handled reach the handler again after a restart: the store is in
    /// memory, or there is none, as with [`verify_only`](Builder::verify_only).
    #[must_use]
    pub fn forgets_on_restart(&self) -> bool {
        self.pipeline.shared.forgets_on_restart
    }

    /// Returns `true` with [`verify_only`](Builder::verify_only): no event is claimed.
    #[must_use]
    pub fn is_verify_only(&self) -> bool {
        self.pipeline.is_verify_only()
    }

    /// Handles an event that did not arrive by HTTP, as a delivery of it would be: the event
    /// takes effect once, whichever way it arrives first.
    ///
    /// The event is claimed under the key of its webhook. While another handler of it runs, in
    /// this process or another that shares the store, this waits for up to the
    /// [`wait`](Builder::wait) of a delivery. The lease is renewed while the handler runs.
    /// `Ok` completes the event for good; `Err` and a panic leave it to the next delivery or
    /// call.
    ///
    /// A completion that the store does not take in time is tried again after this has returned.
    /// A process that ends after its last call, such as a scheduled job, has to call
    /// [`drain`](Self::drain) first; otherwise a later delivery may reach a handler again.
    ///
    /// Dropping the returned future before the handler starts leaves nothing claimed. A handler
    /// that has started runs to completion, on the tokio runtime that the future is dropped on.
    ///
    /// With [`verify_only`](Builder::verify_only) nothing is claimed: the handler runs in every
    /// call, as it does for every delivery.
    ///
    /// # Errors
    ///
    /// [`HandleError`]: the event is in flight after the wait, the store is unavailable, the
    /// event is outside the [`tolerance`](Builder::tolerance), or the handler panicked or
    /// failed.
    pub async fn handle<T, E, F>(
        &self,
        event: Event,
        handler: impl FnOnce(Event) -> F,
    ) -> Result<Handled<T>, HandleError<E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.pipeline.clone().handle(event, handler).await
    }

    /// Runs a background task of the application, such as a worker of a queue, until it ends or
    /// [`drain`](Self::drain) is called. `None` if it was ended by `drain`, which waits until
    /// the task has been dropped. Handlers that the task started by [`handle`](Self::handle)
    /// run to completion.
    pub async fn until_drained<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        self.pipeline.shared.until_drained(task).await
    }

    /// Derives the `Bondify` of another project, which accepts what `secret` or one of `old`
    /// signed, and keeps its events apart by `namespace`, such as the project's id.
    ///
    /// The store, the settings, the leases and [`drain`](Self::drain) are shared: it is cheap,
    /// starts no task, and can be derived for each request. The namespace is within this one's
    /// [`namespace`](Builder::namespace), if it has one.
    ///
    /// One `Bondify` is one project: all of its secrets are equal, and whoever knows one of them
    /// can sign for the others. Several secrets are for the rotation of one project's secret.
    #[must_use]
    pub fn for_project(
        &self,
        namespace: impl Into<String>,
        secret: Secret,
        old: impl IntoIterator<Item = Secret>,
    ) -> Self {
        Self { pipeline: Arc::new(self.pipeline.for_project(namespace.into(), secret, old)) }
    }

    /// Waits until running handlers and settlements of all projects that share this one's
    /// store are over, and from now on sends deliveries away that would wait for another, so
    /// that Bondify retries them.
    ///
    /// Call it once the server has stopped accepting connections, before the runtime
    /// ends. A handler cut off by the runtime's end counts as crashed: its lease runs
    /// out before a retry reaches a handler.
    ///
    /// # Errors
    ///
    /// [`DrainTimedOut`] if that takes longer than `timeout`.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.pipeline.shared.drain(timeout).await
    }

    /// Returns a verifier of proofs with the same secrets, which [`rotate`](Self::rotate)
    /// changes for both, and the same clock.
    #[cfg(feature = "proof")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
    #[must_use]
    pub fn proofs(&self) -> ProofVerifier {
        ProofVerifier::of(&self.pipeline.verifier)
    }
}

impl fmt::Debug for Bondify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bondify")
            .field("verifier", &self.pipeline.verifier)
            .field("namespaces", &self.pipeline.namespaces)
            .field("settings", &self.pipeline.shared.settings)
            .field("running", &self.pipeline.shared.running())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`Bondify`]; made by [`Bondify::builder`].
#[must_use = "nothing is received until it is built"]
pub struct Builder {
    verifier: Verifier,
    store: Option<Arc<dyn DedupeStore>>,
    verify_only: bool,
    namespace: Option<String>,
    settings: Settings,
    retention: Option<Duration>,
}

impl Builder {
    /// The largest body, in bytes, unless [`body_limit`](Self::body_limit) sets another: 64 KiB.
    /// Bondify's own events are below 1 KiB.
    pub const DEFAULT_BODY_LIMIT: usize = limits::DEFAULT_BODY_LIMIT;

    /// The wait of a duplicate, unless [`wait`](Self::wait) sets another: 8 s.
    pub const DEFAULT_WAIT: Duration = limits::DEFAULT_WAIT;

    /// The lease of a claim, unless [`lease`](Self::lease) sets another: 10 s.
    pub const DEFAULT_LEASE: Duration = limits::DEFAULT_LEASE;

    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            verifier: Verifier::new(secret),
            store: None,
            verify_only: false,
            namespace: None,
            settings: Settings {
                body_limit: Self::DEFAULT_BODY_LIMIT,
                wait: Self::DEFAULT_WAIT,
                allow_long_wait: false,
                lease: Self::DEFAULT_LEASE,
                tolerance: Verifier::DEFAULT_TOLERANCE,
                retention: Duration::ZERO, // set by `build`
                fail_open: false,
            },
            retention: None,
        }
    }

    /// Accepts what `secret` signed as well, see [`Verifier::also_accept`]: another secret of the
    /// same project, while it is rotated. For another project, see
    /// [`for_project`](Bondify::for_project).
    pub fn also_accept(mut self, secret: Secret) -> Self {
        self.verifier = self.verifier.also_accept(secret);
        self
    }

    /// Remembers events in `store` instead of a [`MemoryStore`]: what survives a
    /// restart and is shared by several instances.
    pub fn store(mut self, store: impl DedupeStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Switches deduplication off, for handlers that record the event in their own
    /// transaction. They then see every delivery and every event given to
    /// [`handle`](Bondify::handle), duplicates included.
    pub fn verify_only(mut self) -> Self {
        self.verify_only = true;
        self
    }

    /// Lets events through when the store cannot answer, rather than answering 503
    /// and relying on a retry: no login waits for the store, but duplicates reach
    /// the handler while it is away.
    pub fn fail_open(mut self) -> Self {
        self.settings.fail_open = true;
        self
    }

    /// Keeps this project's keys apart from those of others in the same store.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Refuses bodies of more than `bytes`.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.settings.body_limit = bytes;
        self
    }

    /// How long a duplicate waits for the running delivery of its event to end
    /// before it is answered with 409. Zero: not at all.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Allows a [`wait`](Self::wait) past the 10 seconds after which Bondify gives a
    /// delivery up, for senders that are more patient.
    pub fn allow_long_wait(mut self) -> Self {
        self.settings.allow_long_wait = true;
        self
    }

    /// How long a claim holds without being renewed. It is renewed every third of
    /// that while the handler runs, so this is how long an event is blocked by a
    /// process that crashed in its middle.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Refuses events that are older than `tolerance`, see [`Verifier::tolerance`].
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.verifier = self.verifier.tolerance(tolerance);
        self
    }

    /// How long a completed event is remembered. At least, and unless set, the
    /// tolerance plus [`Verifier::SKEW`]: a captured delivery is then either
    /// remembered or too old, and replaying it never reaches the handler.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Judges the age of events by `clock` instead of [`SystemTime::now`].
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.verifier = self.verifier.clock(clock);
        self
    }

    /// Builds it. Store calls run on the tokio runtime that this is called on, or
    /// else on the one that the first delivery arrives on. It needs timers
    /// (`enable_all`), and a thread that no handler blocks: on a current-thread runtime,
    /// one that does cannot have its lease renewed. If the runtime no longer runs tasks, such as
    /// one whose `block_on` is over, an error is logged and the calls run on another; a store
    /// whose connections were opened on it does not work.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting makes no sense.
    pub fn build(mut self) -> Result<Bondify, BuildError> {
        let least_retention = self.verifier.replayable();
        self.settings.tolerance = self.verifier.tolerance;
        self.settings.retention = self.retention.unwrap_or(least_retention);
        self.settings.validate(least_retention)?;
        if self.namespace.as_ref().is_some_and(String::is_empty) {
            return Err(BuildError::EmptyNamespace);
        }
        let in_memory = || Arc::new(MemoryStore::new()) as Arc<dyn DedupeStore>;
        let store = (!self.verify_only).then(|| self.store.unwrap_or_else(in_memory));
        telemetry::describe();
        let pipeline = Pipeline::new(self.verifier, self.namespace, store, self.settings);
        Ok(Bondify { pipeline: Arc::new(pipeline) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("verifier", &self.verifier)
            .field("namespace", &self.namespace)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DELIVERY_TIMEOUT;

    fn build(set: impl FnOnce(Builder) -> Builder) -> Result<Bondify, BuildError> {
        set(Bondify::builder(Secret::new("whsec_test").unwrap())).build()
    }

    #[test]
    fn refuses_nonsense() {
        let ms = Duration::from_millis;
        assert_eq!(build(|b| b.lease(ms(0))).unwrap_err(), BuildError::ShortLease(ms(0)));
        assert_eq!(
            build(|b| b.wait(DELIVERY_TIMEOUT)).unwrap_err(),
            BuildError::LongWait(DELIVERY_TIMEOUT)
        );
        assert!(build(|b| b.wait(DELIVERY_TIMEOUT).allow_long_wait()).is_ok());
        assert!(build(|b| b.wait(ms(0))).is_ok());
        assert_eq!(build(|b| b.tolerance(ms(0))).unwrap_err(), BuildError::ShortTolerance(ms(0)));
        let forever = Duration::MAX;
        assert_eq!(build(|b| b.lease(forever)).unwrap_err(), BuildError::DurationTooLong);
        assert_eq!(build(|b| b.tolerance(forever)).unwrap_err(), BuildError::DurationTooLong);
        assert_eq!(build(|b| b.retention(forever)).unwrap_err(), BuildError::DurationTooLong);
        let wait_forever = build(|b| b.wait(forever).allow_long_wait());
        assert_eq!(wait_forever.unwrap_err(), BuildError::DurationTooLong);
        assert_eq!(build(|b| b.body_limit(0)).unwrap_err(), BuildError::ZeroBodyLimit);
        assert_eq!(build(|b| b.namespace("")).unwrap_err(), BuildError::EmptyNamespace);
    }

    #[test]
    fn an_event_is_remembered_for_as_long_as_it_can_be_replayed() {
        let hour = Duration::from_secs(60 * 60);
        let least_retention = hour + Verifier::SKEW;
        let retention = least_retention - Duration::from_millis(1);
        assert_eq!(
            build(|b| b.tolerance(hour).retention(retention)).unwrap_err(),
            BuildError::ShortRetention { retention, least_retention }
        );
        assert!(build(|b| b.tolerance(hour).retention(least_retention)).is_ok());
        assert!(build(|b| b.tolerance(100 * hour)).is_ok());
        assert!(build(|b| b.tolerance(100 * hour).retention(25 * hour)).is_err());
    }

    #[test]
    fn messages_say_what_to_do() {
        let error = build(|b| b.wait(Duration::from_secs(12))).unwrap_err().to_string();
        assert!(error.contains("12s") && error.contains("allow_long_wait"), "{error}");
    }
}
