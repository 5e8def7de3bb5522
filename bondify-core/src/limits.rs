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

/// The size up to which an oversized body is read on and thrown away, so that its sender reads the
/// answer: a connection that is closed before is reset, and a proxy then answers 502. Proxies pass on
/// bodies of a few MiB (nginx: 1 MiB unless set).
pub(crate) const DRAIN_LIMIT: usize = 16 * 1024 * 1024;

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

/// A larger body is not Bondify's: its events are below 1 KiB.
pub(crate) const DEFAULT_BODY_LIMIT: usize = 64 * 1024;

/// A duplicate waits for the first delivery's result within [`DELIVERY_TIMEOUT`], with time
/// left for the store and the answer.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(8);

/// Long enough to be renewed three times by a server under load; a retry waits no longer after
/// a crash.
pub(crate) const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// Four attempts and any backoff that is known end within a day.
pub(crate) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Clocks of servers that are not synchronised differ by minutes.
pub(crate) const SKEW: Duration = Duration::from_secs(5 * 60);

/// A proof lives for five minutes, so it takes less leeway than an event.
#[cfg(feature = "proof")]
pub(crate) const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// Half of [`DEFAULT_LEASE`], so that the lease has ended by one of the next two retries.
pub(crate) const RETRY_AFTER_SECONDS: &str = "5";

/// A million logins within one retention: 30 MB of completed keys.
pub(crate) const DEFAULT_CAPACITY: usize = 1_000_000;

/// Keys per shard of a store in memory that is full: few enough that a resize, or a search for
/// the key that expires first, holds its shard for well below a millisecond.
pub(crate) const KEYS_PER_SHARD: usize = 8192;

/// With more shards, the empty ones would outweigh the keys.
pub(crate) const MAX_SHARDS: usize = 1 << 16;

/// The pause between two sweeps of expired keys: a sweep visits every shard, and a second's keys
/// are few.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two warnings of one kind, so that they do not fill a log.
pub(crate) const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The longest lag of the coarse clock: a tick of the system's timer at 100 Hz.
pub(crate) const CLOCK_LAG: Duration = Duration::from_millis(10);
