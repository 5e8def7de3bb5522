//! Every duration and size that is a decision of ours, with its reason.

use std::time::Duration;

/// The time that Bondify waits for an answer (documentation: "2xx within 10 seconds").
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time left to send an answer that had to wait for the store.
pub(crate) const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// The time after which a call to a store is given up: half of [`DELIVERY_TIMEOUT`], so that
/// the delivery is still answered in time.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time in which a runtime that is driven runs a task, also on a busy machine.
pub(crate) const TURN_OF_A_RUNTIME: Duration = Duration::from_secs(1);

/// The first pause between two claims of a key that is in flight: most handlers end soon.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two claims of a key that is in flight.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The time for which a completion is tried again although the lease can still be renewed.
/// A store that renews for so long and never completes will not complete later.
pub(crate) const COMPLETION_LIMIT: Duration = Duration::from_secs(60);

/// The shortest lease that can be renewed in time: three round trips to a store.
pub(crate) const MIN_LEASE: Duration = Duration::from_millis(10);

/// The shortest tolerance that lets Bondify's own retries through.
pub(crate) const MIN_TOLERANCE: Duration = Duration::from_secs(60);

/// The longest duration that an engine has to count.
pub(crate) const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The time between two warnings that anyone on the internet can cause.
pub(crate) const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);
