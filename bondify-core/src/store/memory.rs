mod clock;
mod completed;
mod leases;
mod shard;
mod tick;

use std::{
    collections::hash_map::{Entry, OccupiedEntry},
    fmt, io,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use async_trait::async_trait;

use self::{
    completed::{Completed, CompletedKeys},
    leases::Lease,
    shard::{Keys, Shard},
    tick::tick,
};
use super::{
    dedupe::{Claimed, DedupeStore, LeaseToken, StoreError},
    key::EventKey,
};
use crate::limits::{self, KEYS_PER_SHARD, MAX_SHARDS, SWEEP_INTERVAL, WARNING_INTERVAL};

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
/// costs 30 bytes of heap, as measured at a million keys. A thread drops expired keys. It ends with the
/// store.
///
/// # Limits
///
/// - **A restart forgets everything.** An event that was completed before can take
///   effect again, if Bondify delivers it once more or someone replays it within
///   the tolerance.
/// - **A full store forgets the completed key that expires first.** Its event can
///   then take effect again in the same way. [`forgotten`](Self::forgotten) counts
///   these keys, and a warning is logged. The lease of a running handler is never
///   forgotten and takes no room. A store for more than 8192 keys is split into
///   shards. It looks for the key that expires first among the roughly 8000 keys in the shard of the
///   new key.
/// - **Other processes do not see its keys.** Several instances behind one address
///   need one store that they share, in Redis or PostgreSQL.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

impl MemoryStore {
    /// The number of completed keys that [`MemoryStore::new`] has room for: one million.
    pub const DEFAULT_CAPACITY: usize = limits::DEFAULT_CAPACITY;

    /// Creates a store with room for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) completed
    /// keys. An empty store takes 17 KB, and grows as it fills.
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

    /// The number of completed keys in the store. It includes expired keys until they are dropped, about a
    /// second after their expiry.
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

    fn ensure_sweeper(&self) {
        self.0.sweeper.get_or_init(|| {
            spawn_sweeper(Arc::downgrade(&self.0), SWEEP_INTERVAL)
                .map(|sweeper| sweeper.thread().clone())
                .inspect_err(|error| {
                    tracing::warn!(
                        %error,
                        "the in-memory dedupe store cannot start its thread: it works, but keeps \
                         expired keys until it is full",
                    );
                })
                .ok()
        });
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
        self.ensure_sweeper();
        let shared = &self.0;
        let Keys { leases, completed } = &mut *shared.shard(key).lock();
        let now = shared.now();
        // Look up the completed key first: it is the likely cache miss.
        if shared.is_completed(completed, key, now) {
            return Ok(Claimed::Completed);
        }
        let entry = leases.entry(key);
        if matches!(&entry, Entry::Occupied(held) if !held.get().has_run_out(now)) {
            return Ok(Claimed::InFlight);
        }
        let token = LeaseToken::new(shared.next_token.fetch_add(1, Relaxed));
        entry.insert_entry(Lease { token, expires: after(now, lease) });
        Ok(Claimed::Acquired(token))
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let leases = &mut self.0.shard(key).lock().leases;
        let now = self.0.now();
        let held = leases.held(key, token, now);
        Ok(held.map(|mut held| held.get_mut().expires = after(now, lease)).is_some())
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let shared = &self.0;
        let mut shard = shared.shard(key).lock();
        let Keys { leases, completed } = &mut *shard;
        let now = shared.now();
        let Some(held) = leases.held(key, token, now) else { return Ok(false) };
        held.remove();
        let forgotten = shared.make_room(completed, now);
        completed.insert(Completed { key: *key, until: tick(after(now, retention)) });
        drop(shard);
        if forgotten {
            shared.report_forgotten(now);
        }
        Ok(true)
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let leases = &mut self.0.shard(key).lock().leases;
        Ok(leases.held(key, token, self.0.now()).map(OccupiedEntry::remove).is_some())
    }

    fn forgets_on_restart(&self) -> bool {
        true
    }
}

/// The state that the clones of a store and its sweeper share.
struct Shared {
    created: Duration,
    capacity: usize,
    shards: Box<[Shard]>,
    len: AtomicUsize,
    /// The token of the next lease.
    next_token: AtomicU64,
    forgotten: AtomicU64,
    /// The first tick in which a warning about a forgotten key is due again.
    next_warning: AtomicU32,
    /// Contains `None` if no thread could be started.
    sweeper: OnceLock<Option<Thread>>,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(KEYS_PER_SHARD).min(MAX_SHARDS);
        Self {
            created: clock::monotonic(),
            capacity,
            shards: (0..shards.next_power_of_two()).map(|_| Shard::default()).collect(),
            len: AtomicUsize::new(0),
            next_token: AtomicU64::new(1),
            forgotten: AtomicU64::new(0),
            next_warning: AtomicU32::new(0),
            sweeper: OnceLock::new(),
        }
    }

    fn is_completed(&self, completed: &mut CompletedKeys, key: &EventKey, now: Duration) -> bool {
        let Some(place) = completed.find(key) else { return false };
        let remembered = !completed.get(place).has_run_out(tick(now));
        if !remembered {
            completed.remove(place);
            self.len.fetch_sub(1, Relaxed);
        }
        remembered
    }

    /// Counts one more completed key. In a full store it drops the key that expires first, and returns
    /// `true` if the retention of that key had not run out.
    ///
    /// Call it before the new key is inserted, so that the new key stays: the latest event is the most
    /// likely to be delivered again.
    fn make_room(&self, completed: &mut CompletedKeys, now: Duration) -> bool {
        if self.len.fetch_add(1, Relaxed) < self.capacity {
            return false;
        }
        let Some(first) = completed.remove_first() else { return false };
        self.len.fetch_sub(1, Relaxed);
        !first.has_run_out(tick(now))
    }

    /// Counts a forgotten key, and warns if a warning is due. Call it without a lock, since a subscriber of
    /// the log may be slow.
    fn report_forgotten(&self, now: Duration) {
        let forgotten = self.forgotten.fetch_add(1, Relaxed) + 1;
        #[cfg(feature = "metrics")]
        metrics::counter!("bondify_memory_store_forgotten_total").increment(1);

        let next = tick(now.saturating_add(WARNING_INTERVAL));
        let warn = self
            .next_warning
            .fetch_update(Relaxed, Relaxed, |due| (due <= tick(now)).then_some(next));
        if warn.is_ok() {
            tracing::warn!(
                forgotten,
                capacity = self.capacity,
                "the in-memory dedupe store is full and forgets completed events: if one is \
                 delivered again, it is handled again; raise MemoryStore::with_capacity or use a \
                 shared store",
            );
        }
    }

    /// Drops the leases and completed keys that have run out.
    fn sweep(&self) {
        for shard in &self.shards {
            let Keys { leases, completed } = &mut *shard.lock();
            let now = self.now();
            leases.drop_expired(now);
            self.len.fetch_sub(completed.drop_expired(tick(now)), Relaxed);
        }
    }

    fn shard(&self, key: &EventKey) -> &Shard {
        // Uses the half of the bits that the tables of the shards do not use.
        let number = (key.bits() >> 64) as usize;
        &self.shards[number & (self.shards.len() - 1)]
    }

    /// The time since the store's creation. Call it with the shard locked, so that time never goes backwards
    /// for a key.
    fn now(&self) -> Duration {
        clock::monotonic().saturating_sub(self.created)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(Some(sweeper)) = self.sweeper.get() {
            sweeper.unpark();
        }
    }
}

/// Starts the thread that sweeps until the store is dropped. The drop wakes it.
fn spawn_sweeper(store: Weak<Shared>, interval: Duration) -> io::Result<JoinHandle<()>> {
    let sweep_while_alive = move || {
        while let Some(shared) = store.upgrade() {
            shared.sweep();
            drop(shared);
            thread::park_timeout(interval);
        }
    };
    thread::Builder::new().name("bondify-sweeper".into()).spawn(sweep_while_alive)
}

/// The time `duration` after `now`, plus the clock's lag, so that nothing expires too early.
fn after(now: Duration, duration: Duration) -> Duration {
    now.saturating_add(limits::CLOCK_LAG).saturating_add(duration)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;

    use super::{tick::NEVER, *};

    const LONG: Duration = Duration::from_secs(3600);

    fn key(number: u64) -> EventKey {
        EventKey::new("auth.confirmed", number.to_le_bytes())
    }

    /// A store whose sweeper is not started.
    fn unswept(capacity: usize) -> MemoryStore {
        let store = MemoryStore::with_capacity(capacity);
        store.0.sweeper.set(None).unwrap();
        store
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

    /// Leaves an expired key in the store, which only a sweep or a claim drops.
    fn complete_and_outlast(store: &MemoryStore, key: &EventKey) {
        complete(store, key, Duration::ZERO);
        wait_until(|| store.0.shard(key).lock().completed.may_hold_expired(tick(store.0.now())));
    }

    fn leases(store: &MemoryStore) -> usize {
        store.0.shards.iter().map(|shard| shard.lock().leases.len()).sum()
    }

    fn is_completed(store: &MemoryStore, key: &EventKey) -> bool {
        claim(store, key, LONG) == Claimed::Completed
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let start = std::time::Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(30), "waited for long enough");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn retention_is_rounded_up_to_a_tick() {
        for millis in [0, 1, 63, 64, 65, 1_000_000] {
            let expires = Duration::from_millis(millis) + Duration::from_nanos(1);
            let completed = Completed { key: key(0), until: tick(expires) };
            assert!(!completed.has_run_out(tick(expires)));
            assert!(completed.has_run_out(tick(expires + Duration::from_millis(64))));
        }
    }

    #[test]
    fn beyond_the_last_tick_a_key_is_not_dropped_early() {
        let completed = Completed { key: key(0), until: tick(Duration::MAX) };
        assert_eq!(completed.until, NEVER);
        assert!(!completed.has_run_out(tick(Duration::MAX)));
    }

    #[test]
    fn shards_grow_with_the_capacity() {
        for (capacity, shards) in [
            (0, 1),
            (1, 1),
            (8192, 1),
            (8193, 2),
            (20_000, 4),
            (MemoryStore::DEFAULT_CAPACITY, 128),
            (usize::MAX, MAX_SHARDS),
        ] {
            assert_eq!(MemoryStore::with_capacity(capacity).0.shards.len(), shards);
        }
    }

    #[test]
    fn a_full_store_forgets_the_key_that_expires_first() {
        let store = unswept(3);
        for (number, hours) in [(1, 3), (2, 1), (3, 2), (4, 4), (5, 5)] {
            complete(&store, &key(number), hours * LONG);
        }
        let remembered = [1, 2, 3, 4, 5].map(|number| is_completed(&store, &key(number)));
        assert_eq!(remembered, [true, false, false, true, true]);
        assert_eq!((store.len(), store.forgotten()), (3, 2));
    }

    #[test]
    fn the_latest_key_stays_even_if_it_expires_first() {
        let store = unswept(1);
        complete(&store, &key(1), 2 * LONG);
        complete(&store, &key(2), LONG);
        assert!(is_completed(&store, &key(2)));
    }

    #[test]
    fn a_key_that_has_run_out_makes_room_without_being_forgotten() {
        let store = unswept(1);
        complete_and_outlast(&store, &key(1));
        complete(&store, &key(2), LONG);
        assert_eq!((store.len(), store.forgotten()), (1, 0));
    }

    #[test]
    fn a_claim_waits_for_no_sweep() {
        let store = unswept(1);
        complete_and_outlast(&store, &key(1));
        acquire(&store, &key(1));
        assert!(store.is_empty());

        claim(&store, &key(2), Duration::ZERO);
        wait_until(|| matches!(claim(&store, &key(2), LONG), Claimed::Acquired(_)));
    }

    #[test]
    fn a_full_store_keeps_running_leases() {
        let store = unswept(1);
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
            for seconds in [0, 1, 59, 61, 62] {
                store.0.report_forgotten(Duration::from_secs(seconds));
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
        let store = unswept(1);
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

    #[tokio::test]
    async fn expired_keys_are_dropped_without_a_call() {
        let store = MemoryStore::new();
        for number in 0..100 {
            let Ok(Claimed::Acquired(token)) = store.claim(&key(number), LONG).await else {
                panic!("a fresh key");
            };
            store.complete(&key(number), &token, Duration::from_millis(1)).await.unwrap();
        }
        wait_until(|| store.is_empty());
    }

    #[test]
    fn a_sweep_drops_lost_leases_and_nothing_else() {
        let store = unswept(1);
        complete(&store, &key(1), LONG);
        acquire(&store, &key(2));
        claim(&store, &key(3), Duration::ZERO);
        wait_until(|| {
            store.0.sweep();
            leases(&store) == 1
        });
        assert!(is_completed(&store, &key(1)));
        assert_eq!(claim(&store, &key(2), LONG), Claimed::InFlight);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn dropping_the_last_clone_ends_the_sweeper() {
        let mut store = unswept(1);
        complete_and_outlast(&store, &key(1));
        Arc::get_mut(&mut store.0).unwrap().sweeper = OnceLock::new();
        let sweeper = spawn_sweeper(Arc::downgrade(&store.0), LONG).unwrap();
        store.0.sweeper.set(Some(sweeper.thread().clone())).unwrap();
        wait_until(|| store.is_empty());
        drop(store.clone());
        drop(store);
        wait_until(|| sweeper.is_finished());
    }

    #[test]
    fn debug_prints_counts_only() {
        let store = unswept(7);
        complete(&store, &key(1), LONG);
        assert_eq!(format!("{store:?}"), "MemoryStore { len: 1, capacity: 7, forgotten: 0 }");
    }
}
