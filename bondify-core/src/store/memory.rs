mod shard;

use std::{
    collections::hash_map::{Entry, OccupiedEntry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{self, Duration},
};

use async_trait::async_trait;
use tokio::time::Instant;

use self::shard::{Keys, Lease, tick};
use super::{
    dedupe::{Claimed, DedupeStore, LeaseToken, StoreError},
    key::EventKey,
};
use crate::{
    limits::{self, KEYS_PER_SHARD, MAX_SHARDS},
    rate_limited::RateLimited,
};

/// A bounded dedupe store in the memory of a single process. It is the default of
/// [`Builder`](crate::Builder).
///
/// ```
/// use bondify_core::{Bondify, MemoryStore, Secret};
///
/// // Room for the logins and cancellations of one retention, 24 hours and 5 minutes.
/// let store = MemoryStore::with_capacity(100_000);
/// let bondify = Bondify::builder(Secret::new("whsec_5f2b0c9d")?).store(store.clone()).build()?;
/// assert_eq!((store.len(), store.forgotten()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones share their keys, and every call returns on the first poll. A completed key
/// costs 26 bytes of heap, as measured at a million keys. Later claims drop the keys that have expired.
///
/// # Limits
///
/// - **A restart forgets everything.** An event that was completed before can take
///   effect again, if Bondify delivers it once more or someone replays it within
///   the tolerance.
/// - **A full store forgets the completed key that expires first.** Its event can
///   then take effect again in the same way. [`forgotten`](Self::forgotten) counts
///   these keys, and a warning is logged. The lease of a running handler is never
///   forgotten and takes no room. A store for more than 6800 keys is split into
///   shards. It looks for the key that expires first among the roughly 6800 keys in the shard of the
///   new key.
/// - **Other processes do not see its keys.** Several instances behind one address
///   need one store that they share, in Redis or PostgreSQL.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

impl MemoryStore {
    /// The number of completed keys that [`MemoryStore::new`] has room for: one million.
    pub const DEFAULT_CAPACITY: usize = limits::DEFAULT_CAPACITY;

    /// Creates a store with room for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) completed
    /// keys. An empty store takes 13 KB, and grows as it fills.
    ///
    /// ```
    /// use bondify_core::{Bondify, BuildError, MemoryStore, Secret};
    ///
    /// /// Two receivers that know the same events, for a test of two instances.
    /// fn two_instances(secret: &Secret) -> Result<[Bondify; 2], BuildError> {
    ///     let store = MemoryStore::new();
    ///     let receiver = || Bondify::builder(secret.clone()).store(store.clone()).build();
    ///     Ok([receiver()?, receiver()?])
    /// }
    /// ```
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// Creates a store with room for `completed_keys`, at least one.
    ///
    /// A key stays for its retention, so pass the number of events that you expect within one retention.
    ///
    /// ```
    /// use bondify_core::MemoryStore;
    ///
    /// // 500 logins an hour, for a retention of 24 hours and 5 minutes.
    /// let store = MemoryStore::with_capacity(500 * 25);
    /// assert!(store.is_empty());
    /// ```
    pub fn with_capacity(completed_keys: usize) -> Self {
        Self(Arc::new(Shared::new(completed_keys.max(1))))
    }

    /// The number of completed keys in the store. It includes expired keys until a later claim drops them.
    pub fn len(&self) -> usize {
        self.0.len.load(Relaxed)
    }

    /// Returns `true` if the store has no completed key. It may have leases.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of completed keys that were dropped before their retention ran out,
    /// because the store was full. If it is not zero, pass a higher number to
    /// [`with_capacity`](Self::with_capacity).
    ///
    /// ```
    /// use bondify_core::MemoryStore;
    ///
    /// fn warn_if_too_small(store: &MemoryStore) {
    ///     if store.forgotten() > 0 {
    ///         eprintln!("the store needs room for more than {} events", store.len());
    ///     }
    /// }
    /// ```
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Relaxed)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.0.capacity)
            .field("forgotten", &self.forgotten())
            .finish()
    }
}

#[async_trait]
impl DedupeStore for MemoryStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let shared = &self.0;
        let (mut keys, now) = shared.lock(key);
        match keys.completed.get(key) {
            Some(&until) if until >= tick(now) => return Ok(Claimed::Completed),
            expired if expired.is_some() || keys.next_sweep <= now => {
                shared.len.fetch_sub(keys.sweep(now), Relaxed);
            }
            _ => {}
        }
        let entry = keys.leases.entry(*key);
        if matches!(&entry, Entry::Occupied(held) if !held.get().has_run_out(now)) {
            return Ok(Claimed::InFlight);
        }
        let token = LeaseToken::new(shared.next_token.fetch_add(1, Relaxed));
        entry.insert_entry(Lease { token, expires: now.saturating_add(lease) });
        Ok(Claimed::Acquired(token))
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let (mut keys, now) = self.0.lock(key);
        let held = keys.held(key, token, now);
        Ok(held.map(|mut held| held.get_mut().expires = now.saturating_add(lease)).is_some())
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let (mut keys, now) = self.0.lock(key);
        let Some(held) = keys.held(key, token, now) else { return Ok(false) };
        held.remove();
        let has_forgotten = self.0.make_room(&mut keys, now);
        keys.completed.insert(*key, tick(now.saturating_add(retention)));
        drop(keys);
        if has_forgotten {
            self.0.report_forgotten(Instant::now());
        }
        Ok(true)
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let (mut keys, now) = self.0.lock(key);
        Ok(keys.held(key, token, now).map(OccupiedEntry::remove).is_some())
    }

    fn forgets_on_restart(&self) -> bool {
        true
    }
}

/// The state that the clones of a store share.
struct Shared {
    created: time::Instant,
    capacity: usize,
    shards: Box<[Mutex<Keys>]>,
    /// The number of completed keys in all shards.
    len: AtomicUsize,
    next_token: AtomicU64,
    forgotten: AtomicU64,
    warning: RateLimited,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(KEYS_PER_SHARD).min(MAX_SHARDS);
        Self {
            created: time::Instant::now(),
            capacity,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            next_token: AtomicU64::new(1),
            forgotten: AtomicU64::new(0),
            warning: RateLimited::new(),
        }
    }

    /// Locks the shard of `key`. Returns the time since the store's creation as well, which never goes
    /// backwards for a key, since it is read with the shard locked.
    fn lock(&self, key: &EventKey) -> (MutexGuard<'_, Keys>, Duration) {
        // By the half of the bits that the tables of the shards do not use.
        let half = u128::from_le_bytes(*key.as_bytes()) >> 64;
        let shard = &self.shards[((half * self.shards.len() as u128) >> 64) as usize];
        let keys = shard.lock().unwrap_or_else(PoisonError::into_inner);
        (keys, self.created.elapsed())
    }

    /// Makes room for a completed key. Returns `true` if a key that has not run out was forgotten for it.
    fn make_room(&self, keys: &mut Keys, now: Duration) -> bool {
        if self.len.fetch_add(1, Relaxed) < self.capacity {
            return false;
        }
        // If this shard has none, the store holds one key more than its capacity.
        let Some(until) = keys.forget_first() else { return false };
        self.len.fetch_sub(1, Relaxed);
        until >= tick(now)
    }

    fn report_forgotten(&self, now: Instant) {
        let forgotten = self.forgotten.fetch_add(1, Relaxed) + 1;
        #[cfg(feature = "metrics")]
        metrics::counter!("bondify_memory_store_forgotten_total").increment(1);
        if self.warning.due(now).is_some() {
            tracing::warn!(
                forgotten,
                capacity = self.capacity,
                "the in-memory dedupe store is full and forgets completed events: if one is \
                 delivered again, it is handled again; raise MemoryStore::with_capacity or use a \
                 shared store",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, thread};

    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn key(number: u64) -> EventKey {
        EventKey::new("auth.confirmed", number.to_le_bytes())
    }

    fn now<T>(call: impl Future<Output = Result<T, StoreError>>) -> T {
        call.now_or_never().expect("no waiting").unwrap()
    }

    fn claim(store: &MemoryStore, key: &EventKey, lease: Duration) -> Claimed {
        now(store.claim(key, lease))
    }

    fn acquire(store: &MemoryStore, key: &EventKey) -> LeaseToken {
        match claim(store, key, LONG) {
            Claimed::Acquired(token) => token,
            other => panic!("{other:?}"),
        }
    }

    fn complete(store: &MemoryStore, key: &EventKey, retention: Duration) {
        let token = acquire(store, key);
        assert!(now(store.complete(key, &token, retention)));
    }

    /// Leaves an expired key in the store, which only a claim drops.
    fn complete_and_outlast(store: &MemoryStore, key: &EventKey) {
        complete(store, key, Duration::ZERO);
        wait_until(|| {
            let (keys, now) = store.0.lock(key);
            keys.completed[key] < tick(now)
        });
    }

    /// Makes the next claim sweep the shard of `key`.
    fn sweep_next(store: &MemoryStore, key: &EventKey) {
        store.0.lock(key).0.next_sweep = Duration::ZERO;
    }

    fn is_completed(store: &MemoryStore, key: &EventKey) -> bool {
        claim(store, key, LONG) == Claimed::Completed
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let start = time::Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(30), "waited for long enough");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn retention_is_rounded_up_to_a_tick() {
        let ms = Duration::from_millis;
        for expires in [0, 1, 63, 64, 65, 1_000_000].map(ms) {
            let until = tick(expires);
            assert!(until >= tick(expires.saturating_sub(ms(1))));
            assert!(until < tick(expires + ms(64)));
        }
    }

    #[test]
    fn beyond_the_last_tick_a_key_is_not_dropped_early() {
        let store = MemoryStore::with_capacity(1);
        complete(&store, &key(0), Duration::MAX);
        let (mut keys, _) = store.0.lock(&key(0));
        assert_eq!(keys.sweep(Duration::MAX - LONG), 0);
        assert_eq!(keys.completed[&key(0)], tick(Duration::MAX));
    }

    #[test]
    fn shards_grow_with_the_capacity() {
        for (capacity, shards) in [
            (0, 1),
            (1, 1),
            (6800, 1),
            (6801, 2),
            (20_000, 3),
            (MemoryStore::DEFAULT_CAPACITY, 148),
            (usize::MAX, MAX_SHARDS),
        ] {
            assert_eq!(MemoryStore::with_capacity(capacity).0.shards.len(), shards);
        }
    }

    #[test]
    fn a_full_store_forgets_the_key_that_expires_first() {
        let store = MemoryStore::with_capacity(3);
        for (number, hours) in [(1, 3), (2, 1), (3, 2), (4, 4), (5, 5)] {
            complete(&store, &key(number), hours * LONG);
        }
        let remembered = [1, 2, 3, 4, 5].map(|number| is_completed(&store, &key(number)));
        assert_eq!(remembered, [true, false, false, true, true]);
        assert_eq!((store.len(), store.forgotten()), (3, 2));
    }

    #[test]
    fn the_latest_key_stays_even_if_it_expires_first() {
        let store = MemoryStore::with_capacity(1);
        complete(&store, &key(1), 2 * LONG);
        complete(&store, &key(2), LONG);
        assert!(is_completed(&store, &key(2)));
    }

    #[test]
    fn a_key_that_has_run_out_makes_room_without_being_forgotten() {
        let store = MemoryStore::with_capacity(1);
        complete_and_outlast(&store, &key(1));
        complete(&store, &key(2), LONG);
        assert_eq!((store.len(), store.forgotten()), (1, 0));
    }

    #[test]
    fn a_claim_waits_for_no_sweep() {
        let store = MemoryStore::with_capacity(1);
        complete_and_outlast(&store, &key(1));
        acquire(&store, &key(1));
        assert!(store.is_empty());

        claim(&store, &key(2), Duration::ZERO);
        wait_until(|| matches!(claim(&store, &key(2), LONG), Claimed::Acquired(_)));
    }

    #[test]
    fn a_full_store_keeps_running_leases() {
        let store = MemoryStore::with_capacity(1);
        let running = [1, 2, 3].map(|number| (key(number), acquire(&store, &key(number))));
        for number in 10..20 {
            complete(&store, &key(number), LONG);
        }
        for (key, token) in running {
            assert_eq!(claim(&store, &key, LONG), Claimed::InFlight);
            assert!(now(store.complete(&key, &token, LONG)));
        }
    }

    #[test]
    fn a_full_store_warns_once_a_minute() {
        let store = MemoryStore::new();
        let (log, writer) = io::pipe().unwrap();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(writer)).finish();
        tracing::subscriber::with_default(subscriber, || {
            let start = Instant::now();
            for seconds in [0, 1, 59, 61, 62] {
                store.0.report_forgotten(start + Duration::from_secs(seconds));
            }
        });

        let log = io::read_to_string(log).unwrap();
        let warnings: Vec<_> = log.lines().collect();
        assert_eq!(warnings.len(), 2, "{log}");
        assert!(warnings[0].contains("WARN") && warnings[0].contains("forgotten=1"));
        assert!(warnings[1].contains("forgotten=4"));
        assert_eq!(store.forgotten(), 5);
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn forgotten_keys_are_counted_as_a_metric() {
        let recorder = metrics_util::debugging::DebuggingRecorder::new();
        let store = MemoryStore::with_capacity(1);
        metrics::with_local_recorder(&recorder, || {
            for number in 0..3 {
                complete(&store, &key(number), LONG);
            }
        });
        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let [(name, _, _, count)] = &snapshot[..] else {
            panic!("{snapshot:?}");
        };
        assert_eq!(name.key().name(), "bondify_memory_store_forgotten_total");
        assert_eq!(*count, metrics_util::debugging::DebugValue::Counter(2));
    }

    #[test]
    fn later_claims_drop_expired_keys_and_lost_leases_and_give_their_memory_back() {
        let store = MemoryStore::with_capacity(1000);
        let kept = acquire(&store, &key(0));
        for number in 1..500 {
            complete(&store, &key(number), Duration::ZERO);
            claim(&store, &key(1000 + number), Duration::ZERO);
        }
        complete_and_outlast(&store, &key(500));
        complete(&store, &key(501), LONG);
        assert_eq!(store.len(), 501);

        sweep_next(&store, &key(502));
        acquire(&store, &key(502));
        assert_eq!(store.len(), 1);
        assert!(is_completed(&store, &key(501)));
        assert_eq!(claim(&store, &key(0), LONG), Claimed::InFlight);
        assert!(now(store.release(&key(0), &kept)));
        let (keys, _) = store.0.lock(&key(0));
        assert_eq!(keys.leases.len(), 1);
        assert!(keys.leases.capacity() < 16 && keys.completed.capacity() < 16);
    }

    #[test]
    fn a_shard_is_not_swept_again_at_once() {
        let store = MemoryStore::with_capacity(1);
        acquire(&store, &key(0));
        complete_and_outlast(&store, &key(1));
        acquire(&store, &key(2));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn debug_prints_counts_only() {
        let store = MemoryStore::with_capacity(7);
        complete(&store, &key(1), LONG);
        assert_eq!(format!("{store:?}"), "MemoryStore { len: 1, capacity: 7, forgotten: 0 }");
    }
}
