use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    Bondify, DedupeStore, MemoryStore, Secret, Verifier, store::Store, telemetry::PATIENCE,
};

/// Sets up a [`Bondify`]; made by [`Bondify::builder`].
#[must_use = "nothing is received until it is built"]
pub struct Builder {
    verifier: Verifier,
    dedupe: Dedupe,
    settings: Settings,
    retention: Option<Duration>,
    long_wait: bool,
}

enum Dedupe {
    InMemory,
    In(Store),
    Off,
}

/// What a [`Bondify`] goes by, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: Option<String>,
    pub(crate) body_limit: usize,
    pub(crate) wait: Duration,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) fail_open: bool,
}

impl Builder {
    /// How large a body may be unless [`body_limit`](Self::body_limit) says
    /// otherwise: 64 KiB. Bondify's own events are below 1 KiB.
    pub const DEFAULT_BODY_LIMIT: usize = 64 * 1024;

    /// How long a duplicate waits unless [`wait`](Self::wait) says otherwise: 8 s.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(8);

    /// How long a claim holds unless [`lease`](Self::lease) says otherwise: 10 s.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);

    const LEAST_LEASE: Duration = Duration::from_millis(10);
    const LEAST_TOLERANCE: Duration = Duration::from_secs(60);
    pub(crate) const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            verifier: Verifier::new(secret),
            dedupe: Dedupe::InMemory,
            settings: Settings {
                namespace: None,
                body_limit: Self::DEFAULT_BODY_LIMIT,
                wait: Self::DEFAULT_WAIT,
                lease: Self::DEFAULT_LEASE,
                retention: Duration::ZERO, // set by `build`
                fail_open: false,
            },
            retention: None,
            long_wait: false,
        }
    }

    /// Accepts what `secret` signed as well, see [`Verifier::also_accept`].
    pub fn also_accept(mut self, secret: Secret) -> Self {
        self.verifier = self.verifier.also_accept(secret);
        self
    }

    /// Remembers events in `store` instead of a [`MemoryStore`]: what survives a
    /// restart and is shared by several instances.
    pub fn store(mut self, store: impl DedupeStore) -> Self {
        self.dedupe = Dedupe::In(Store::new(store));
        self
    }

    /// Switches deduplication off, for handlers that record the event in their own
    /// transaction. They then see every delivery, duplicates included.
    pub fn verify_only(mut self) -> Self {
        self.dedupe = Dedupe::Off;
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
        self.settings.namespace = Some(namespace.into());
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
        self.long_wait = true;
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
    /// one that does cannot have its lease renewed.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting makes no sense.
    pub fn build(mut self) -> Result<Bondify, BuildError> {
        let least_retention = self.verifier.replayable();
        self.settings.retention = self.retention.unwrap_or(least_retention);
        self.check(least_retention)?;
        let store = match self.dedupe {
            Dedupe::InMemory => Some(Store::new(MemoryStore::new())),
            Dedupe::In(store) => Some(store),
            Dedupe::Off => None,
        };
        Ok(Bondify::new(self.verifier, store, self.settings))
    }

    fn check(&self, least_retention: Duration) -> Result<(), BuildError> {
        let Settings { namespace, body_limit, wait, lease, retention, .. } = &self.settings;
        let (wait, lease, retention) = (*wait, *lease, *retention);
        let tolerance = self.verifier.tolerance;
        if namespace.as_ref().is_some_and(String::is_empty) {
            return Err(BuildError::EmptyNamespace);
        }
        if *body_limit == 0 {
            return Err(BuildError::NoBody);
        }
        if lease < Self::LEAST_LEASE {
            return Err(BuildError::ShortLease(lease));
        }
        if tolerance < Self::LEAST_TOLERANCE {
            return Err(BuildError::ShortTolerance(tolerance));
        }
        if wait >= PATIENCE && !self.long_wait {
            return Err(BuildError::LongWait(wait));
        }
        if [wait, lease, tolerance, retention].iter().any(|set| *set > Self::TEN_YEARS) {
            return Err(BuildError::Endless);
        }
        if retention < least_retention {
            return Err(BuildError::ShortRetention { retention, least_retention });
        }
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("verifier", &self.verifier)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The namespace is the empty string.
    #[error("the namespace is empty; leave it out if the store is not shared")]
    EmptyNamespace,
    /// The body limit is zero.
    #[error("the body limit is zero, which would refuse every delivery")]
    NoBody,
    /// The lease is shorter than three trips to a store can take.
    #[error("the lease of {0:?} is too short to be renewed in time; it must be at least 10 ms")]
    ShortLease(Duration),
    /// The tolerance is shorter than Bondify may take to retry a delivery.
    #[error("the tolerance of {0:?} would refuse retries; it must be at least a minute")]
    ShortTolerance(Duration),
    /// The wait, the lease, the tolerance or the retention is longer than ten years,
    /// past which no engine has to keep count.
    #[error("the wait, lease, tolerance and retention must be at most ten years each")]
    Endless,
    /// The wait reaches past the time that Bondify waits for an answer.
    #[error(
        "the wait of {0:?} is no use, since Bondify gives a delivery up after 10 s; \
         `allow_long_wait` is for senders that are more patient"
    )]
    LongWait(Duration),
    /// The retention is shorter than a delivery can be replayed.
    #[error(
        "the retention of {retention:?} is shorter than {least_retention:?}, the tolerance and \
         the clock skew together: in between, a replayed delivery would be handled again"
    )]
    ShortRetention {
        /// What was set.
        retention: Duration,
        /// What it must be at least.
        least_retention: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(set: impl FnOnce(Builder) -> Builder) -> Result<Bondify, BuildError> {
        set(Bondify::builder(Secret::new("whsec_test").unwrap())).build()
    }

    #[test]
    fn refuses_nonsense() {
        let ms = Duration::from_millis;
        assert_eq!(build(|b| b.lease(ms(0))).unwrap_err(), BuildError::ShortLease(ms(0)));
        assert_eq!(build(|b| b.wait(PATIENCE)).unwrap_err(), BuildError::LongWait(PATIENCE));
        assert!(build(|b| b.wait(PATIENCE).allow_long_wait()).is_ok());
        assert!(build(|b| b.wait(ms(0))).is_ok());
        assert_eq!(build(|b| b.tolerance(ms(0))).unwrap_err(), BuildError::ShortTolerance(ms(0)));
        let forever = Duration::MAX;
        assert_eq!(build(|b| b.lease(forever)).unwrap_err(), BuildError::Endless);
        assert_eq!(build(|b| b.tolerance(forever)).unwrap_err(), BuildError::Endless);
        assert_eq!(build(|b| b.retention(forever)).unwrap_err(), BuildError::Endless);
        let wait_forever = build(|b| b.wait(forever).allow_long_wait());
        assert_eq!(wait_forever.unwrap_err(), BuildError::Endless);
        assert_eq!(build(|b| b.body_limit(0)).unwrap_err(), BuildError::NoBody);
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
