use std::time::Duration;

/// The settings of a pipeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) body_limit: usize,
    pub(crate) wait: Duration,
    pub(crate) allow_long_wait: bool,
    pub(crate) lease: Duration,
    pub(crate) fail_open: bool,
}

/// The error for an invalid setting.
///
/// ```
/// use std::time::Duration;
///
/// use bondify_core::{Bondify, BuildError, Secret};
///
/// let secret = Secret::new("whsec_5f2b0c9d8e7a6b5c")?;
/// let error = Bondify::builder(secret).wait(Duration::from_secs(10)).build().unwrap_err();
/// assert!(matches!(error, BuildError::LongWait { .. }));
/// # Ok::<(), bondify_core::SecretError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The namespace is the empty string.
    #[error("the namespace is empty; do not set one if the store is not shared")]
    EmptyNamespace,
    /// The body limit is zero.
    #[error("the body limit is zero, which would refuse every delivery; set at least 1024 bytes")]
    ZeroBodyLimit,
    /// The lease is shorter than three round trips to a store can take.
    #[error("the lease of {0:?} is too short to be renewed in time; it must be at least 10 ms")]
    ShortLease(Duration),
    /// The tolerance is shorter than the time in which Bondify retries a delivery.
    #[error("the tolerance of {0:?} would refuse retries; it must be at least a minute")]
    ShortTolerance(Duration),
    /// The wait, the lease, the tolerance or the retention is longer than ten years, the most that a
    /// store has to support.
    #[error("the wait, lease, tolerance and retention must be at most ten years each")]
    DurationTooLong,
    /// The wait is longer than Bondify waits for an answer.
    #[error(
        "the wait of {0:?} is too long: Bondify stops waiting for an answer after 10 s; \
         for senders that wait longer, set `allow_long_wait`"
    )]
    LongWait(Duration),
    /// The retention is shorter than the time for which a delivery can be replayed.
    #[error(
        "the retention of {retention:?} is shorter than {least_retention:?}, the tolerance plus the \
         clock skew, so that a replayed delivery could be handled again; raise it, or lower the \
         tolerance"
    )]
    ShortRetention {
        /// The retention that was set.
        retention: Duration,
        /// The shortest retention that is accepted.
        least_retention: Duration,
    },
}
