//! The in-memory store: its memory, its slowest call, and its speed against the cache `moka`.

use std::{
    hint::black_box,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, MemoryStore};
use futures_util::FutureExt;
use moka::sync::Cache;

use crate::{
    report::{Report, Row, Unit},
    rounds::{Plan, Spread, Variant, interleave, median, thread_time},
    verify::nanoseconds,
};

const LEASE: Duration = Duration::from_secs(10);
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let live = plan.choose(1_000_000, 10_000);
    let rows = [
        bytes_per_key(live).at_most(48.0),
        worst_claim(plan, live).at_most(1.0),
        against_moka(plan, live, "claim", claim_only, claim_only).at_least(5.0),
        against_moka(plan, live, "claim and complete", one_thread, one_thread).at_least(5.0),
        against_moka(plan, live, "the same and a duplicate, two threads", two_threads, two_threads)
            .at_least(5.0),
    ];
    report.suite("memory", &rows);
}

/// A store of event keys.
pub(crate) trait Memory: Sync {
    /// Creates a store with room for `keys` keys.
    fn with_capacity(keys: u64) -> Self;

    /// Claims the key. Returns `None` if it is not fresh.
    fn claim(&self, key: &EventKey) -> Option<LeaseToken>;

    fn complete(&self, key: &EventKey, token: LeaseToken);

    /// # Panics
    ///
    /// If the key is not fresh.
    fn remember(&self, key: &EventKey) {
        let token = self.claim(key).expect("is fresh");
        self.complete(key, token);
    }
}

impl Memory for MemoryStore {
    fn with_capacity(keys: u64) -> Self {
        Self::with_capacity(keys as usize)
    }

    fn claim(&self, key: &EventKey) -> Option<LeaseToken> {
        match DedupeStore::claim(self, key, LEASE).now_or_never() {
            Some(Ok(Claimed::Acquired(token))) => Some(token),
            _ => None,
        }
    }

    fn complete(&self, key: &EventKey, token: LeaseToken) {
        let completed = DedupeStore::complete(self, key, &token, RETENTION).now_or_never();
        assert!(matches!(completed, Some(Ok(true))));
    }
}

/// Whether the key is completed.
pub(crate) type Moka = Cache<EventKey, bool>;

impl Memory for Moka {
    fn with_capacity(keys: u64) -> Self {
        Self::builder().max_capacity(keys).time_to_live(RETENTION).build()
    }

    fn claim(&self, key: &EventKey) -> Option<LeaseToken> {
        self.entry(*key).or_insert(false).is_fresh().then_some(LeaseToken::new(0))
    }

    fn complete(&self, key: &EventKey, _: LeaseToken) {
        self.insert(*key, true);
    }
}

fn keys(numbers: Range<u64>) -> Vec<EventKey> {
    numbers.map(|number| EventKey::new("auth.confirmed", number.to_le_bytes())).collect()
}

fn bytes_per_key(live: u64) -> Row {
    let figure = Spread::exactly(heap_per_key::<MemoryStore>(live));
    let moka = heap_per_key::<Moka>(live);
    Row::new(format!("heap per live key at {live} keys"), Unit::Bytes, figure)
        .detail(format!("moka: {moka:.0} B"))
}

/// Bytes of heap for each of so many keys.
pub(crate) fn heap_per_key<M: Memory>(live: u64) -> f64 {
    let keys = keys(0..live);
    let mut memory = None;
    let heap = allocation_counter::measure(|| {
        let memory = memory.insert(M::with_capacity(live));
        keys.iter().for_each(|key| memory.remember(key));
    });
    drop(memory);
    heap.bytes_current as f64 / live as f64
}

fn worst_claim(plan: &Plan, live: u64) -> Row {
    let keys = keys(0..live);
    let longest_turn = Duration::from_secs_f64(grow::<MemoryStore>(&keys).1);
    let samples = interleave(
        plan.choose(8, 1),
        &mut [
            Box::new(|| grow::<MemoryStore>(&keys).0),
            Box::new(|| longest_gap(longest_turn)),
            Box::new(|| grow::<Moka>(&keys).0),
        ],
    );
    let millis = |samples: &[f64]| median(samples) * 1e3;
    let ours = Spread::of(samples[0].iter().map(|seconds| seconds * 1e3));
    let (idle, moka) = (millis(&samples[1]), millis(&samples[2]));
    Row::new(format!("worst claim and complete while growing to {live}"), Unit::Millis, ours)
        .detail(format!("an idle loop as long: {idle:.3} ms; moka: {moka:.3} ms"))
}

/// The time of the slowest claim and of all claims, in seconds.
fn grow<M: Memory>(keys: &[EventKey]) -> (f64, f64) {
    let memory = M::with_capacity(keys.len() as u64);
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for key in keys {
        let start = Instant::now();
        memory.remember(key);
        slowest = slowest.max(start.elapsed());
    }
    (slowest.as_secs_f64(), start.elapsed().as_secs_f64())
}

/// The longest pause of an idle loop, which the machine adds to the slowest claim.
fn longest_gap(length: Duration) -> f64 {
    let start = Instant::now();
    let (mut last, mut longest) = (start, Duration::ZERO);
    while last - start < length {
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    longest.as_secs_f64()
}

/// The ratio of moka's time per fresh key to that of the in-memory store, both with `live` keys at the
/// start.
fn against_moka(
    plan: &Plan,
    live: u64,
    what: &str,
    ours: impl Fn(&MemoryStore, &[EventKey]) -> Duration,
    moka: impl Fn(&Moka, &[EventKey]) -> Duration,
) -> Row {
    let (rounds, batch) = (plan.choose(20, 2), plan.choose(10_000, 1000));
    let capacity = live + (rounds as u64 + 1) * batch;
    let variants =
        &mut [time_per_key(live, capacity, batch, moka), time_per_key(live, capacity, batch, ours)];
    let samples = interleave(rounds, variants);
    Row::ratio(format!("moka / ours: {what}, at {live} keys"), &samples[0], &samples[1])
        .detail(nanoseconds(&samples))
}

/// Nanoseconds per fresh key, in batches that `timed` claims.
pub(crate) fn time_per_key<'a, M: Memory + 'a>(
    live: u64,
    capacity: u64,
    batch: u64,
    timed: impl Fn(&M, &[EventKey]) -> Duration + 'a,
) -> Variant<'a, f64> {
    let memory = M::with_capacity(capacity);
    keys(0..live).iter().for_each(|key| memory.remember(key));
    let mut next = live;
    Box::new(move || {
        let keys = keys(next..next + batch);
        next += batch;
        timed(&memory, &keys).as_nanos() as f64 / batch as f64
    })
}

fn claim_only<M: Memory>(memory: &M, keys: &[EventKey]) -> Duration {
    let mut tokens = Vec::with_capacity(keys.len());
    let start = thread_time();
    tokens.extend(keys.iter().map(|key| memory.claim(key)));
    let taken = thread_time() - start;
    for (key, token) in keys.iter().zip(tokens) {
        memory.complete(key, token.expect("is fresh"));
    }
    taken
}

pub(crate) fn one_thread<M: Memory>(memory: &M, keys: &[EventKey]) -> Duration {
    let start = thread_time();
    keys.iter().for_each(|key| memory.remember(key));
    thread_time() - start
}

/// Two threads with half of the keys each, every key twice.
fn two_threads<M: Memory>(memory: &M, keys: &[EventKey]) -> Duration {
    let twice = |keys: &[EventKey]| {
        for key in keys {
            memory.remember(key);
            assert!(black_box(memory.claim(key)).is_none());
        }
    };
    let (one, other) = keys.split_at(keys.len() / 2);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| twice(one));
        twice(other);
    });
    start.elapsed()
}
