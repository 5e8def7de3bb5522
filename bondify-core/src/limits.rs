//! Every duration and size that this crate decides on, with its reason.

use std::time::Duration;

/// The time that Bondify waits for an answer (documentation: "2xx within 10 seconds").
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time left to send an answer that had to wait for the store.
pub(crate) const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// The time-out of a call to a store: half of [`DELIVERY_TIMEOUT`], so that the delivery is still
/// answered in time.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time that a new task may wait before its runtime counts as stuck, also on a busy machine.
pub(crate) const TURN_OF_A_RUNTIME: Duration = Duration::from_secs(1);

/// The size up to which an oversized body is read and discarded, so that its sender reads the
/// answer. If the connection were closed before, it would be reset, and a proxy would answer 502. Proxies
/// pass on bodies of a few MiB (nginx: 1 MiB unless set).
pub(crate) const DRAIN_LIMIT: usize = 16 * 1024 * 1024;

/// The first pause between two claims of a key that is in flight. It is short, as most handlers end soon.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two claims of a key that is in flight.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The time for which a completion is retried after a handler has succeeded: longer than a restart or a
/// failover of a store takes, and shorter than a service manager waits for the end of a process (90 s).
pub(crate) const COMPLETION_LIMIT: Duration = Duration::from_secs(60);

/// The longest pause between two tries to complete or release a lease, so that a long lease has many. The
/// pauses of a short lease are a tenth of it.
pub(crate) const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The shortest lease that can be renewed in time: three round trips to a store.
pub(crate) const MIN_LEASE: Duration = Duration::from_millis(10);

/// The shortest tolerance that accepts Bondify's own retries.
pub(crate) const MIN_TOLERANCE: Duration = Duration::from_secs(60);

/// The longest duration that a store has to support.
pub(crate) const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The size of the largest body. Bondify's events are below 1 KiB.
pub(crate) const DEFAULT_BODY_LIMIT: usize = 64 * 1024;

/// The time that a duplicate waits for the first delivery's result: within [`DELIVERY_TIMEOUT`], with time
/// left for the store and the answer.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(8);

/// The lease of a claim: long enough to be renewed three times by a server under load. After a crash, a
/// retry has to wait for that long.
pub(crate) const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// The maximum age of an event. Bondify's four attempts end within a day with any backoff that is known.
pub(crate) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The maximum time that an event may lie in the future. Clocks that are not synchronised differ by minutes.
pub(crate) const SKEW: Duration = Duration::from_secs(5 * 60);

/// The difference between clocks that is accepted for a proof. A proof lasts for five minutes, so it is
/// smaller than that for an event.
#[cfg(feature = "proof")]
pub(crate) const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The value of `Retry-After`: half of [`DEFAULT_LEASE`], so that the lease has ended by one of the next
/// two retries.
pub(crate) const RETRY_AFTER_SECONDS: &str = "5";

/// The capacity of a store in memory: a million logins within one retention, 26 MB of completed keys.
pub(crate) const DEFAULT_CAPACITY: usize = 1_000_000;

/// The number of keys per shard of a full store in memory: some less than the 7168 that a hash table of
/// 8192 buckets holds, so that no shard needs the next larger one. A resize, a sweep, or a search for the key
/// that expires first locks its shard for well below a millisecond.
pub(crate) const KEYS_PER_SHARD: usize = 6800;

/// The maximum number of shards. With more, the empty shards would need more memory than the keys.
pub(crate) const MAX_SHARDS: usize = 1 << 16;

/// The minimum time between two sweeps of a shard, which visit all its keys.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The minimum time between two warnings of one kind, so that they do not fill a log.
pub(crate) const WARNING_INTERVAL: Duration = Duration::from_secs(60);
