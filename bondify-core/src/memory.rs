use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use hashbrown::{
    HashTable,
    hash_table::{Entry, OccupiedEntry},
};

use crate::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError};

/// Keys per shard when a store is full: few enough that a resize, or a search for
/// the key that expires first, holds its shard for some microseconds.
const KEYS_PER_SHARD: usize = 1024;
const MAX_SHARDS: usize = 1 << 16;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The store of a single process: in memory, bounded, gone with the process.
///
/// Clones share what they remember, and every call answers at once, on the first
/// poll. A completed key costs 44 bytes of heap, as measured at a million keys. It is
/// dropped when its retention has run out, by a thread that ends with the store.
///
/// # What it forgets
///
/// - **A restart forgets everything.** An event that completed before can take
///   effect again, if Bondify delivers it once more or someone replays it within
///   the tolerance.
/// - **An overflow forgets the completed key that expires first**, whose event can
///   then take effect again in the same way. [`forgotten`](Self::forgotten) counts
///   these, and a warning is logged. The lease of a running handler is never
///   forgotten and takes no room. A store for more than 1024 keys is split in
///   shards and looks for the key that expires first among the roughly 1000 that
///   share a shard with the new one.
/// - **Other processes know nothing of it.** Several instances behind one address
///   need one store that they share, in Redis or PostgreSQL.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

impl MemoryStore {
    /// The completed keys that [`MemoryStore::new`] has room for: one million.
    pub const DEFAULT_CAPACITY: usize = 1_000_000;

    /// A store with room for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) completed
    /// keys. Empty, it takes 80 KB, and the rest as it fills.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A store with room for `completed_keys`, at least one.
    ///
    /// A key stays for its retention, so the room to have is the number of events
    /// within one retention.
    #[must_use]
    pub fn with_capacity(completed_keys: usize) -> Self {
        Self(Arc::new(Shared::new(completed_keys.max(1))))
    }

    /// How many completed keys it remembers. One whose retention has just run out
    /// counts until it is dropped, about a second later.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.completed.load(Relaxed)
    }

    /// Whether it remembers no completed key. Leases may be running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many completed keys it forgot before their retention ran out, for want
    /// of room. Not zero: [`with_capacity`](Self::with_capacity) was given too
    /// little.
    #[must_use]
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
                        "no thread to drop expired keys: the in-memory dedupe store works, \
                         but keeps them until it is full",
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
        Ok(self.0.claim(key, lease))
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.0.renew(key, token, lease))
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.0.complete(key, token, retention))
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        Ok(self.0.release(key, token))
    }
}

/// What the clones of a store share, and its sweeper watches.
struct Shared {
    created: Instant,
    capacity: usize,
    /// A power of two of them.
    shards: Box<[Shard]>,
    completed: AtomicUsize,
    forgotten: AtomicU64,
    leases_given: AtomicU64,
    /// The first tick in which a forgotten key is logged again.
    next_warning: AtomicU32,
    /// `None` inside: no thread could be started.
    sweeper: OnceLock<Option<Thread>>,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(KEYS_PER_SHARD).min(MAX_SHARDS);
        Self {
            created: Instant::now(),
            capacity,
            shards: (0..shards.next_power_of_two()).map(|_| Shard::new()).collect(),
            completed: AtomicUsize::new(0),
            forgotten: AtomicU64::new(0),
            leases_given: AtomicU64::new(0),
            next_warning: AtomicU32::new(0),
            sweeper: OnceLock::new(),
        }
    }

    fn claim(&self, key: &EventKey, lease: Duration) -> Claimed {
        let shard = self.shard(key);
        let mut entries = shard.lock();
        let now = self.now();
        if let Some(completed) = entries.completed(key) {
            if !completed.get().has_run_out(now) {
                return Claimed::Completed;
            }
            completed.remove();
            self.completed.fetch_sub(1, Relaxed);
        }
        let token = LeaseToken::new(self.leases_given.fetch_add(1, Relaxed));
        let lease = Lease { key: *key, token, expires: now.saturating_add(lease) };
        match entries.lease(key) {
            Entry::Occupied(held) if !held.get().has_run_out(now) => return Claimed::InFlight,
            Entry::Occupied(mut lost) => *lost.get_mut() = lease,
            Entry::Vacant(free) => {
                free.insert(lease);
            }
        }
        shard.note_expiry(tick(lease.expires));
        Claimed::Acquired(token)
    }

    fn renew(&self, key: &EventKey, token: &LeaseToken, lease: Duration) -> bool {
        let shard = self.shard(key);
        let mut entries = shard.lock();
        let now = self.now();
        let Some(mut held) = entries.held(key, token, now) else {
            return false;
        };
        held.get_mut().expires = now.saturating_add(lease);
        shard.note_expiry(tick(held.get().expires));
        true
    }

    fn complete(&self, key: &EventKey, token: &LeaseToken, retention: Duration) -> bool {
        let shard = self.shard(key);
        let mut entries = shard.lock();
        let now = self.now();
        let Some(held) = entries.held(key, token, now) else {
            return false;
        };
        held.remove();
        let forgotten = self.make_room(&mut entries, now);
        let completed = Completed { key: *key, until: tick(now.saturating_add(retention)) };
        entries.completed.insert_unique(completed.hash(), completed, Completed::hash);
        shard.note_expiry(completed.until);
        drop(entries);
        if forgotten {
            self.report_forgotten(now);
        }
        true
    }

    fn release(&self, key: &EventKey, token: &LeaseToken) -> bool {
        let mut entries = self.shard(key).lock();
        let held = entries.held(key, token, self.now());
        held.map(OccupiedEntry::remove).is_some()
    }

    /// Counts one more completed key. In a full store, drops the one that expires
    /// first, and says whether that one was still to be remembered.
    ///
    /// It is sought before the new key goes in, which so always stays: of all events
    /// the latest is the likeliest to be delivered again.
    fn make_room(&self, entries: &mut Entries, now: Duration) -> bool {
        if self.completed.fetch_add(1, Relaxed) < self.capacity {
            return false;
        }
        let Some(first) = entries.remove_first_completed() else {
            return false;
        };
        self.completed.fetch_sub(1, Relaxed);
        !first.has_run_out(now)
    }

    /// Called without a lock, since a subscriber may take its time.
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
                "the in-memory dedupe store is full and forgets completed events: delivered \
                 again, they take effect again; raise MemoryStore::with_capacity or use a \
                 shared store",
            );
        }
    }

    /// Drops what has run out, visiting only shards in which something may have.
    fn sweep(&self) {
        for shard in &self.shards {
            if shard.may_hold_expired(self.now()) {
                let mut entries = shard.lock();
                let dropped = entries.drop_expired(self.now());
                shard.earliest.store(entries.earliest(), Relaxed);
                self.completed.fetch_sub(dropped, Relaxed);
            }
        }
    }

    fn shard(&self, key: &EventKey) -> &Shard {
        // The half of the digest that `hash` does not use.
        let number = (digest(key) >> 64) as usize;
        &self.shards[number & (self.shards.len() - 1)]
    }

    /// The time since the store's creation. Asked for under a shard's lock, so that
    /// no key sees time run backwards.
    fn now(&self) -> Duration {
        self.created.elapsed()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(Some(sweeper)) = self.sweeper.get() {
            sweeper.unpark();
        }
    }
}

/// Starts the thread that sweeps until the store is dropped, which wakes it.
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

struct Shard {
    /// No entry runs out in an earlier tick. Changed under the lock only; read
    /// without it, so that a sweep of an idle store takes no lock.
    earliest: AtomicU32,
    entries: Mutex<Entries>,
}

impl Shard {
    fn new() -> Self {
        Self { earliest: AtomicU32::new(NEVER), entries: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the sweeper know that an entry runs out in `tick`.
    fn note_expiry(&self, tick: u32) {
        self.earliest.fetch_min(tick, Relaxed);
    }

    fn may_hold_expired(&self, now: Duration) -> bool {
        self.earliest.load(Relaxed) < tick(now)
    }
}

/// A key is in one of the tables at most.
#[derive(Default)]
struct Entries {
    completed: HashTable<Completed>,
    leases: HashTable<Lease>,
}

impl Entries {
    fn completed(&mut self, key: &EventKey) -> Option<OccupiedEntry<'_, Completed>> {
        self.completed.find_entry(hash(key), |completed| completed.key == *key).ok()
    }

    fn lease(&mut self, key: &EventKey) -> Entry<'_, Lease> {
        self.leases.entry(hash(key), |lease| lease.key == *key, Lease::hash)
    }

    /// The lease of `key`, if `token` holds it and it has not run out.
    fn held(
        &mut self,
        key: &EventKey,
        token: &LeaseToken,
        now: Duration,
    ) -> Option<OccupiedEntry<'_, Lease>> {
        let lease = self.leases.find_entry(hash(key), |lease| lease.key == *key).ok()?;
        (lease.get().token == *token && !lease.get().has_run_out(now)).then_some(lease)
    }

    fn remove_first_completed(&mut self) -> Option<Completed> {
        let first = self.completed.iter().min_by_key(|completed| completed.until)?.key;
        self.completed(&first).map(|completed| completed.remove().0)
    }

    /// Drops what has run out, and says how many completed keys that were.
    fn drop_expired(&mut self, now: Duration) -> usize {
        let before = self.completed.len();
        self.completed.retain(|completed| !completed.has_run_out(now));
        self.leases.retain(|lease| !lease.has_run_out(now));
        shrink(&mut self.completed, Completed::hash);
        shrink(&mut self.leases, Lease::hash);
        before - self.completed.len()
    }

    fn earliest(&self) -> u32 {
        let completed = self.completed.iter().map(|completed| completed.until);
        let leases = self.leases.iter().map(|lease| tick(lease.expires));
        completed.chain(leases).min().unwrap_or(NEVER)
    }
}

/// 20 bytes, as a key has no alignment and a tick has 32 bits.
#[derive(Clone, Copy)]
struct Completed {
    key: EventKey,
    /// The last tick in which it is remembered.
    until: u32,
}

impl Completed {
    fn hash(&self) -> u64 {
        hash(&self.key)
    }

    fn has_run_out(&self, now: Duration) -> bool {
        self.until < tick(now)
    }
}

#[derive(Clone, Copy)]
struct Lease {
    key: EventKey,
    token: LeaseToken,
    /// Since the store's creation.
    expires: Duration,
}

impl Lease {
    fn hash(&self) -> u64 {
        hash(&self.key)
    }

    fn has_run_out(&self, now: Duration) -> bool {
        self.expires <= now
    }
}

/// The tick that `time` falls in, of 64 ms each since the store's creation.
///
/// A completed key is kept to the end of the tick it runs out in: up to 64 ms
/// longer than asked, never shorter. The ticks last for 8.7 years; a store that
/// old remembers its new keys until there is no room.
fn tick(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 64).unwrap_or(NEVER)
}

/// The tick that no other comes after.
const NEVER: u32 = u32::MAX;

/// A key is a SHA-256 digest already, so its bits are as good as any hash.
fn hash(key: &EventKey) -> u64 {
    digest(key) as u64
}

fn digest(key: &EventKey) -> u128 {
    u128::from_le_bytes(*key.as_bytes())
}

/// Gives back the memory of a table that is mostly empty.
fn shrink<T>(table: &mut HashTable<T>, hash: fn(&T) -> u64) {
    if table.len() < table.capacity() / 4 {
        table.shrink_to(2 * table.len(), hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn key(number: u64) -> EventKey {
        EventKey::new("auth.confirmed", number.to_le_bytes())
    }

    fn acquire(store: &MemoryStore, key: &EventKey) -> LeaseToken {
        match store.0.claim(key, LONG) {
            Claimed::Acquired(token) => token,
            other => panic!("{other:?}"),
        }
    }

    fn complete(store: &MemoryStore, key: &EventKey, retention: Duration) {
        let token = acquire(store, key);
        assert!(store.0.complete(key, &token, retention));
    }

    /// Leaves an expired key behind, which only a sweeper or a claim would drop.
    fn complete_and_outlast(store: &MemoryStore, key: &EventKey) {
        complete(store, key, Duration::ZERO);
        wait_until(|| store.0.shard(key).may_hold_expired(store.0.now()));
    }

    fn is_completed(store: &MemoryStore, key: &EventKey) -> bool {
        store.0.claim(key, LONG) == Claimed::Completed
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(30), "waited for long enough");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_completed_key_takes_20_bytes() {
        assert_eq!(size_of::<Completed>(), 20);
    }

    #[test]
    fn retention_is_rounded_up_to_a_tick() {
        for millis in [0, 1, 63, 64, 65, 1_000_000] {
            let expires = Duration::from_millis(millis) + Duration::from_nanos(1);
            let completed = Completed { key: key(0), until: tick(expires) };
            assert!(!completed.has_run_out(expires));
            assert!(completed.has_run_out(expires + Duration::from_millis(64)));
        }
    }

    #[test]
    fn beyond_the_last_tick_a_key_is_not_dropped_early() {
        let completed = Completed { key: key(0), until: tick(Duration::MAX) };
        assert_eq!(completed.until, NEVER);
        assert!(!completed.has_run_out(Duration::MAX));
    }

    #[test]
    fn shards_grow_with_the_capacity() {
        for (capacity, shards) in [
            (0, 1),
            (1, 1),
            (1024, 1),
            (1025, 2),
            (3000, 4),
            (MemoryStore::DEFAULT_CAPACITY, 1024),
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

        store.0.claim(&key(2), Duration::ZERO);
        acquire(&store, &key(2));
    }

    #[test]
    fn a_full_store_keeps_running_leases() {
        let store = MemoryStore::with_capacity(1);
        let running = [1, 2, 3].map(|number| (key(number), acquire(&store, &key(number))));
        for number in 10..20 {
            complete(&store, &key(number), LONG);
        }
        for (key, token) in running {
            assert_eq!(store.0.claim(&key, LONG), Claimed::InFlight);
            assert!(store.0.complete(&key, &token, LONG));
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
        let store = MemoryStore::with_capacity(1);
        complete(&store, &key(1), LONG);
        acquire(&store, &key(2));
        store.0.claim(&key(3), Duration::ZERO);
        wait_until(|| {
            store.0.sweep();
            store.0.shards[0].lock().leases.len() == 1
        });
        assert!(is_completed(&store, &key(1)));
        assert_eq!(store.0.claim(&key(2), LONG), Claimed::InFlight);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_shard_is_visited_when_its_first_entry_is_due() {
        let store = MemoryStore::with_capacity(1);
        let shard = &store.0.shards[0];
        let due_in = |time| tick(store.0.now() + time);
        assert_eq!(shard.earliest.load(Relaxed), NEVER);

        complete(&store, &key(1), 9 * LONG);
        assert!(shard.earliest.load(Relaxed) <= due_in(LONG), "the lease comes first");

        let token = acquire(&store, &key(2));
        assert!(store.0.renew(&key(2), &token, Duration::from_secs(60)));
        assert!(shard.earliest.load(Relaxed) <= due_in(Duration::from_secs(60)));
        assert!(store.0.release(&key(2), &token));

        shard.earliest.store(0, Relaxed);
        wait_until(|| shard.may_hold_expired(store.0.now()));
        store.0.sweep();
        let earliest = shard.earliest.load(Relaxed);
        assert!(due_in(8 * LONG) < earliest && earliest <= due_in(9 * LONG));
    }

    #[test]
    fn an_emptied_table_gives_its_memory_back() {
        let store = MemoryStore::with_capacity(1000);
        for number in 0..1000 {
            complete(&store, &key(number), Duration::from_millis(1));
        }
        assert!(store.0.shards[0].lock().completed.capacity() >= 1000);
        wait_until(|| {
            store.0.sweep();
            store.is_empty()
        });
        assert_eq!(store.0.shards[0].lock().completed.capacity(), 0);
    }

    #[test]
    fn dropping_the_last_clone_ends_the_sweeper() {
        let store = MemoryStore::with_capacity(1);
        complete_and_outlast(&store, &key(1));
        let sweeper = spawn_sweeper(Arc::downgrade(&store.0), LONG).unwrap();
        store.0.sweeper.set(Some(sweeper.thread().clone())).unwrap();
        wait_until(|| store.is_empty());
        drop(store.clone());
        drop(store);
        wait_until(|| sweeper.is_finished());
    }

    #[test]
    fn debug_prints_counts_only() {
        let store = MemoryStore::with_capacity(7);
        complete(&store, &key(1), LONG);
        assert_eq!(format!("{store:?}"), "MemoryStore { len: 1, capacity: 7, forgotten: 0 }");
    }
}
