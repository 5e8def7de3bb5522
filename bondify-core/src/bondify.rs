use std::{
    fmt, iter,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::{Either, select};

#[cfg(feature = "proof")]
use crate::ProofVerifier;
use crate::{
    BuildError, DedupeStore, MemoryStore, Secret, StoreError, Verifier,
    lease::Leases,
    limits::{self, DELIVERY_TIMEOUT, MIN_LEASE, MIN_TOLERANCE, TEN_YEARS},
    pipeline::Shared,
    settings::Settings,
    telemetry,
};

/// Receives Bondify's webhooks: verifies each delivery, deduplicates its event, and settles it by
/// the handler's answer.
///
/// It is a handle: clones share everything. An application builds one with [`builder`](Self::builder),
/// attaches it to a route with its framework's adapter, and calls [`drain`](Self::drain) when it ends.
/// Adapters [serve](Self::serve) requests through it.
///
/// ```
/// use std::{error::Error, time::Duration};
///
/// use bondify_core::{Bondify, Secret};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn Error>> {
///     let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).build()?;
///     // Attach it to a route and serve.
///     bondify.drain(Duration::from_secs(5)).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Bondify {
    pub(crate) project: Arc<Project>,
}

/// A project: its secrets, its namespace, and what it shares with others.
pub(crate) struct Project {
    pub(crate) verifier: Verifier,
    /// The namespaces of the keys, the innermost first.
    pub(crate) namespaces: Vec<String>,
    pub(crate) shared: Arc<Shared>,
}

impl Bondify {
    /// Creates a builder with the project's webhook secret and the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, MemoryStore, Secret};
    ///
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret)
    ///         .store(MemoryStore::with_capacity(100_000))
    ///         .tolerance(Duration::from_secs(60 * 60)) // refuses events that are older than an hour
    ///         .build()
    /// }
    /// ```
    pub fn builder(secret: Secret) -> Builder {
        Builder {
            verifier: Verifier::new(secret),
            store: None,
            verify_only: false,
            namespace: None,
            settings: Settings {
                body_limit: limits::DEFAULT_BODY_LIMIT,
                wait: limits::DEFAULT_WAIT,
                allow_long_wait: false,
                lease: limits::DEFAULT_LEASE,
                fail_open: false,
            },
            retention: None,
        }
    }

    /// Replaces the secrets without a restart: accepts deliveries that `secret` or one of
    /// `old` signed, and no others.
    ///
    /// "Regenerate key" in the dashboard takes effect at once, but retries of older deliveries
    /// still carry the old signature. Keep the old secret beside the new one until the last of these
    /// retries has arrived.
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret, SecretError};
    ///
    /// fn on_new_secret(bondify: &Bondify, new: &str, old: &str) -> Result<(), SecretError> {
    ///     bondify.rotate(Secret::new(new)?, [Secret::new(old)?]);
    ///     Ok(())
    /// }
    /// ```
    pub fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.project.verifier.rotate(secret, old);
        telemetry::register(&self.project.verifier);
    }

    /// The number of deliveries, and of calls of [`handle`](Self::handle), that are in flight: their
    /// handlers run, or they wait for another delivery of the same event. It counts all projects that
    /// share this one's store.
    ///
    /// ```
    /// use bondify_core::Bondify;
    ///
    /// /// For a metric, or the page of a health check.
    /// fn status(bondify: &Bondify) -> String {
    ///     format!("{} deliveries in flight", bondify.running())
    /// }
    /// ```
    pub fn running(&self) -> usize {
        self.project.shared.running.receiver_count()
    }

    /// Waits until nothing is [running](Self::running): neither a handler, nor a store call that an answer did not
    /// wait for, such as a release, or a completion that failed and is tried again.
    ///
    /// Await it before each answer where the process is frozen or ended after the answer, as by AWS Lambda.
    /// Unlike [`drain`](Self::drain) it can be called at any time: deliveries still wait for each other.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::Bondify;
    /// use tokio::time::timeout;
    ///
    /// /// Called between the handler and its answer, for which Bondify waits for 10 seconds.
    /// async fn before_the_answer(bondify: &Bondify) {
    ///     let _too_late = timeout(Duration::from_secs(5), bondify.idle()).await;
    /// }
    /// ```
    pub async fn idle(&self) {
        self.project.shared.running.closed().await;
    }

    /// The size of the largest body that is accepted, in bytes.
    pub fn body_limit(&self) -> usize {
        self.project.shared.settings.body_limit
    }

    /// The age beyond which events are refused, see [`Builder::tolerance`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, Verifier};
    ///
    /// /// The age from which a row of a table of handled events can be deleted.
    /// fn keep_for(bondify: &Bondify) -> Duration {
    ///     bondify.tolerance() + Verifier::SKEW
    /// }
    /// ```
    pub fn tolerance(&self) -> Duration {
        self.project.verifier.tolerance
    }

    /// Returns `true` if events that were handled can reach the handler again after a restart: the store
    /// is in memory, or there is no store, as with [`verify_only`](Builder::verify_only).
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret};
    ///
    /// let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).build()?;
    /// assert!(bondify.forgets_on_restart()); // the default store is in memory
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forgets_on_restart(&self) -> bool {
        let leases = self.project.shared.leases.as_ref();
        leases.is_none_or(|leases| leases.forgets_on_restart())
    }

    /// Returns `true` with [`verify_only`](Builder::verify_only): no event is claimed.
    pub fn is_verify_only(&self) -> bool {
        self.project.shared.leases.is_none()
    }

    /// Runs a background task of the application, such as a worker of a queue, until it ends or
    /// [`drain`](Self::drain) is called. Returns `None` if `drain` ended it. `drain` waits until
    /// the task has been dropped. Handlers that the task started by [`handle`](Self::handle)
    /// run to completion.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bondify_core::{Bondify, Event};
    /// use tokio::sync::mpsc::Receiver;
    ///
    /// fn start_worker(bondify: Bondify, mut queue: Receiver<Event>) {
    ///     tokio::spawn(async move {
    ///         let worker = async {
    ///             while let Some(event) = queue.recv().await {
    ///                 let handler = async |event: Event| Ok::<_, Infallible>(println!("{event}"));
    ///                 if let Err(error) = bondify.handle(event, handler).await {
    ///                     eprintln!("{error}");
    ///                 }
    ///             }
    ///         };
    ///         bondify.until_drained(worker).await;
    ///     });
    /// }
    /// ```
    pub async fn until_drained<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        let Shared { tasks, leaving, .. } = &*self.project.shared;
        let (_counted, mut leaving) = (tasks.subscribe(), leaving.subscribe());
        let (left, task) = (pin!(leaving.wait_for(|&leaving| leaving)), pin!(task));
        match select(left, task).await {
            Either::Left(_left) => None,
            Either::Right((ended, _)) => Some(ended),
        }
    }

    /// Derives the `Bondify` of another project. It accepts deliveries that `secret` or one of `old`
    /// signed, and keeps its events apart by `namespace`, such as the project's id.
    ///
    /// The store, the settings, the leases and [`drain`](Self::drain) are shared. A derived `Bondify` is
    /// cheap, starts no task, and can be derived for each request. Its namespace is within this one's
    /// [`namespace`](Builder::namespace), if it has one.
    ///
    /// One `Bondify` is one project: anyone who knows one of its secrets can sign for all of its users.
    /// Several secrets in one `Bondify` are for the rotation of one project's secret.
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret, SecretError};
    ///
    /// /// `id` and `secret` are, for instance, a row of a table of projects.
    /// fn of_project(bondify: &Bondify, id: &str, secret: &str) -> Result<Bondify, SecretError> {
    ///     Ok(bondify.for_project(id, Secret::new(secret)?, []))
    /// }
    /// ```
    #[must_use]
    pub fn for_project(
        &self,
        namespace: impl Into<String>,
        secret: Secret,
        old: impl IntoIterator<Item = Secret>,
    ) -> Self {
        let Project { verifier, namespaces, shared } = &*self.project;
        let project = Project {
            verifier: verifier.for_secrets(secret, old),
            namespaces: iter::once(namespace.into()).chain(namespaces.iter().cloned()).collect(),
            shared: shared.clone(),
        };
        Self { project: Arc::new(project) }
    }

    /// Asks the store for settings of its engine that would lose or double events, see
    /// [`DedupeStore::check`]. Call it when the process starts, and log each sentence that it returns.
    ///
    /// ```
    /// use bondify_core::{Bondify, StoreError};
    ///
    /// async fn check(bondify: &Bondify) -> Result<(), StoreError> {
    ///     for advice in bondify.check().await? {
    ///         eprintln!("the dedupe store: {advice}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer. With [`verify_only`](Builder::verify_only) there is no
    /// store, and nothing to return.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        match &self.project.shared.leases {
            Some(leases) => leases.check().await,
            None => Ok(Vec::new()),
        }
    }

    /// Waits until the running handlers and settlements of all projects that share this one's
    /// store have ended. From now on a delivery that would wait for another one is answered with 409 at
    /// once, so that Bondify retries it.
    ///
    /// Call it once the server has stopped accepting connections, before the runtime
    /// ends. A handler that the end of the runtime cuts off counts as crashed: a retry has to wait for
    /// its lease to run out. [`Shutdown`](crate::Shutdown) has an example with a server, which ends in this
    /// call.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, DrainTimedOut};
    ///
    /// /// Called when the server accepts no more connections.
    /// async fn at_the_end(bondify: &Bondify) -> Result<(), DrainTimedOut> {
    ///     bondify.drain(Duration::from_secs(5)).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`DrainTimedOut`] if handlers or settlements are still running after `timeout`. They continue as
    /// long as the runtime does.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.project.shared.leaving.send_replace(true);
        let ended = async {
            self.project.shared.tasks.closed().await; // first, since a task may start handlers until it ends
            self.idle().await;
        };
        let drained = tokio::time::timeout(timeout, ended).await;
        drained.map_err(|_late| DrainTimedOut { running: self.running() })
    }

    /// Returns a verifier of proofs with the same secrets and clock. [`rotate`](Self::rotate) changes the
    /// secrets of both.
    ///
    /// ```
    /// use bondify_core::{Bondify, ProofError, TelegramUser};
    ///
    /// fn user(bondify: &Bondify, token: &str) -> Result<TelegramUser, ProofError> {
    ///     let proof = bondify.proofs().project("proj_1").verify(token)?;
    ///     Ok(proof.user().clone())
    /// }
    /// ```
    #[cfg(feature = "proof")]
    pub fn proofs(&self) -> ProofVerifier {
        ProofVerifier::of(&self.project.verifier)
    }
}

impl fmt::Debug for Bondify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bondify")
            .field("verifier", &self.project.verifier)
            .field("namespaces", &self.project.namespaces)
            .field("settings", &self.project.shared.settings)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// The error for handlers that are still running after the time-out of [`drain`](crate::Bondify::drain).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{running} deliveries were still in flight after the time-out of `drain`; if the process ends now, \
     Bondify has to retry them"
)]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// The number of deliveries that are still in flight.
    pub running: usize,
}

/// Sets up a [`Bondify`]. [`Bondify::builder`] creates it.
///
/// Without any setter, events are remembered in memory for 24 hours and 5 minutes.
///
/// ```
/// use std::{error::Error, time::Duration};
///
/// use bondify_core::{Bondify, MemoryStore, Secret};
///
/// fn bondify(secret: &str, old: &str) -> Result<Bondify, Box<dyn Error>> {
///     let bondify = Bondify::builder(Secret::new(secret)?.named("2026-11"))
///         .old_secret(Secret::new(old)?.named("2026-10")) // while the secret is rotated
///         .store(MemoryStore::with_capacity(10_000)) // or one of bondify-redis or bondify-sqlx
///         .namespace("shop")
///         .lease(Duration::from_secs(15))
///         .build()?;
///     Ok(bondify)
/// }
/// ```
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
    /// The size of the largest body, in bytes, unless [`body_limit`](Self::body_limit) sets another:
    /// 64 KiB. Bondify's own events are below 1 KiB.
    pub const DEFAULT_BODY_LIMIT: usize = limits::DEFAULT_BODY_LIMIT;

    /// The wait of a duplicate, unless [`wait`](Self::wait) sets another: 8 s.
    pub const DEFAULT_WAIT: Duration = limits::DEFAULT_WAIT;

    /// The lease of a claim, unless [`lease`](Self::lease) sets another: 10 s.
    pub const DEFAULT_LEASE: Duration = limits::DEFAULT_LEASE;

    /// Also accepts deliveries that `old` signed: the project's secret before a rotation, see
    /// [`Verifier::old_secret`]. For another project, see [`for_project`](Bondify::for_project).
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// fn bondify(new: Secret, old: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(new.named("2026-11")).old_secret(old.named("2026-10")).build()
    /// }
    /// ```
    pub fn old_secret(mut self, old: Secret) -> Self {
        self.verifier = self.verifier.old_secret(old);
        self
    }

    /// Remembers events in `store` instead of a [`MemoryStore`], for instance in a database that
    /// survives a restart and that several instances share.
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, DedupeStore, Secret};
    ///
    /// /// `store` is for example a `bondify_redis::RedisStore` or a `bondify_sqlx::PostgresStore`.
    /// fn bondify(secret: Secret, store: impl DedupeStore) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).store(store).build()
    /// }
    /// ```
    pub fn store(mut self, store: impl DedupeStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Switches deduplication off, for handlers that record the event in their own
    /// transaction. They then see every delivery and every event given to
    /// [`handle`](Bondify::handle), duplicates included.
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// /// The handler records each event in its own transaction.
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).verify_only().build()
    /// }
    /// ```
    pub fn verify_only(mut self) -> Self {
        self.verify_only = true;
        self
    }

    /// Handles events without deduplication while the store does not answer. By default such a delivery is
    /// answered with 503, and Bondify retries it. With this setting no login waits for the store, but duplicates
    /// reach the handler.
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, DedupeStore, Secret};
    ///
    /// /// The handler only writes a row by its key, so a duplicate changes nothing.
    /// fn bondify(secret: Secret, store: impl DedupeStore) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).store(store).fail_open().build()
    /// }
    /// ```
    pub fn fail_open(mut self) -> Self {
        self.settings.fail_open = true;
        self
    }

    /// Keeps this project's keys apart from those of others in the same store.
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, DedupeStore, Secret};
    ///
    /// /// The staging system shares the database of production.
    /// fn bondify(secret: Secret, store: impl DedupeStore) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).store(store).namespace("test").build()
    /// }
    /// ```
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Refuses bodies of more than `bytes`.
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret};
    ///
    /// // An event has a few hundred bytes. A larger body is answered with 413.
    /// let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).body_limit(16 * 1024).build()?;
    /// assert_eq!(bondify.body_limit(), 16 * 1024);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.settings.body_limit = bytes;
        self
    }

    /// Sets the time that a duplicate waits for the running delivery of its event before it is answered
    /// with 409. With zero it does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// /// Answers 409 at once while another delivery of the event is handled.
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).wait(Duration::ZERO).build()
    /// }
    /// ```
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Allows a [`wait`](Self::wait) of 10 seconds and more, after which Bondify stops waiting for an
    /// answer. For senders with a longer time-out.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, Secret};
    ///
    /// // Behind a queue, whose sender waits for a minute.
    /// let queue = Duration::from_secs(50);
    /// let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).wait(queue);
    /// assert!(bondify.build().is_err());
    /// let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).wait(queue).allow_long_wait();
    /// assert!(bondify.build().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_long_wait(mut self) -> Self {
        self.settings.allow_long_wait = true;
        self
    }

    /// Sets the time that a claim lasts without being renewed. It is renewed every third of that time
    /// while the handler runs. After a crash of the process, a retry of the event has to wait for up to
    /// this time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, DedupeStore, Secret};
    ///
    /// /// For a store whose calls may take seconds.
    /// fn bondify(secret: Secret, store: impl DedupeStore) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).store(store).lease(Duration::from_secs(30)).build()
    /// }
    /// ```
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Refuses events that are older than `tolerance`, see [`Verifier::tolerance`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// /// Accepts events from an outage of up to three days. The retention follows.
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).tolerance(Duration::from_secs(3 * 24 * 60 * 60)).build()
    /// }
    /// ```
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.verifier = self.verifier.tolerance(tolerance);
        self
    }

    /// Sets the time that a completed event is remembered. The default, and the least that is accepted, is
    /// the tolerance plus [`Verifier::SKEW`]: a captured delivery is then either remembered or too old,
    /// so replaying it never reaches the handler.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// /// Remembers events for a week, for example because a queue repeats them.
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     Bondify::builder(secret).retention(Duration::from_secs(7 * 24 * 60 * 60)).build()
    /// }
    /// ```
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Judges the age of events by `clock` instead of [`SystemTime::now`].
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// /// In a test: the time at which the events of the test are new.
    /// fn bondify(secret: Secret) -> Result<Bondify, BuildError> {
    ///     let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    ///     Bondify::builder(secret).clock(move || now).build()
    /// }
    /// ```
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.verifier = self.verifier.clock(clock);
        self
    }

    /// Builds the [`Bondify`].
    ///
    /// Store calls run on the tokio runtime that this is called on, or, without one, on the runtime that
    /// the first delivery arrives on. The runtime needs timers (`enable_all`) and a thread that no
    /// handler blocks: on a current-thread runtime, the lease of a handler that blocks is not renewed.
    ///
    /// If the runtime stops running tasks, for instance because its `block_on` has returned, an error is
    /// logged and the calls run on the current runtime. A store whose connections were opened on
    /// the first runtime does not work then.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Bondify, BuildError, Secret};
    ///
    /// let builder = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).lease(Duration::from_millis(1));
    /// assert!(matches!(builder.build(), Err(BuildError::ShortLease { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`BuildError::EmptyNamespace`] if the namespace is empty.
    /// - [`BuildError::ZeroBodyLimit`] if the body limit is zero.
    /// - [`BuildError::ShortLease`] if the lease is below 10 ms, [`BuildError::ShortTolerance`] if the
    ///   tolerance is below a minute.
    /// - [`BuildError::LongWait`] if the wait is 10 s or more and
    ///   [`allow_long_wait`](Self::allow_long_wait) is not set.
    /// - [`BuildError::ShortRetention`] if the retention is shorter than the tolerance plus
    ///   [`Verifier::SKEW`].
    /// - [`BuildError::DurationTooLong`] if one of the durations is longer than ten years.
    pub fn build(self) -> Result<Bondify, BuildError> {
        let Self { verifier, settings, .. } = self;
        let Settings { body_limit, wait, lease, .. } = settings;
        let (tolerance, replayable) = (verifier.tolerance, verifier.replayable());
        let retention = self.retention.unwrap_or(replayable);
        if self.namespace.as_ref().is_some_and(String::is_empty) {
            return Err(BuildError::EmptyNamespace);
        }
        if body_limit == 0 {
            return Err(BuildError::ZeroBodyLimit);
        }
        if lease < MIN_LEASE {
            return Err(BuildError::ShortLease(lease));
        }
        if tolerance < MIN_TOLERANCE {
            return Err(BuildError::ShortTolerance(tolerance));
        }
        if wait >= DELIVERY_TIMEOUT && !settings.allow_long_wait {
            return Err(BuildError::LongWait(wait));
        }
        if [wait, lease, tolerance, retention].iter().any(|set| *set > TEN_YEARS) {
            return Err(BuildError::DurationTooLong);
        }
        if retention < replayable {
            return Err(BuildError::ShortRetention { retention, least_retention: replayable });
        }
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let leases = (!self.verify_only).then(|| Leases::new(store, lease, retention));
        telemetry::describe();
        telemetry::register(&verifier);
        let namespaces = self.namespace.into_iter().collect();
        let shared = Arc::new(Shared::new(settings, leases));
        Ok(Bondify { project: Arc::new(Project { verifier, namespaces, shared }) })
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
    use futures_util::FutureExt;

    use super::*;

    fn build(set: impl FnOnce(Builder) -> Builder) -> Result<Bondify, BuildError> {
        set(Bondify::builder(Secret::new("whsec_test").unwrap())).build()
    }

    #[test]
    fn invalid_settings_are_refused() {
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
    fn a_store_in_memory_is_checked_without_a_runtime() {
        let advice = build(|b| b).unwrap().check().now_or_never();
        assert!(advice.unwrap().unwrap().is_empty());
    }

    #[test]
    fn messages_say_what_to_do() {
        let error = build(|b| b.wait(Duration::from_secs(12))).unwrap_err().to_string();
        assert!(error.contains("12s") && error.contains("allow_long_wait"), "{error}");
    }
}
