//! The stores in memory: the contract of ours and of the documentation's, the memory use and capacity of ours.

use std::{fmt, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey, MemoryStore};
use futures_util::FutureExt;

bondify_testkit::dedupe_store_suite!(async || MemoryStore::new());

/// The store of `DedupeStore`'s documentation.
mod example {
    include!("../docs/store.rs");

    bondify_testkit::dedupe_store_suite!(async || MyStore::default());
}

const LEASE: Duration = Duration::from_secs(3600);
const RETENTION: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_million_completed_keys_cost_at_most_48_bytes_each() {
    const KEYS: u64 = 1_000_000;

    let mut store = None;
    let heap = allocation_counter::measure(|| {
        let store = store.insert(MemoryStore::with_capacity(KEYS as usize));
        (0..KEYS).for_each(|number| complete(store, number));
    });

    assert_eq!(store.map(|store| store.len()), Some(KEYS as usize));
    let bytes_per_key = heap.bytes_current / KEYS as i64;
    assert!(bytes_per_key <= 48, "{bytes_per_key} bytes per key");
}

#[test]
fn a_full_store_stays_within_its_bound() {
    let store = MemoryStore::with_capacity(100);
    for number in 0..1000 {
        complete(&store, number);
        assert_eq!(claim(&store, number), Claimed::Completed);
    }
    assert_eq!((store.len(), store.forgotten()), (100, 900));
}

#[test]
fn a_full_store_of_many_shards_stays_within_its_bound() {
    let store = MemoryStore::with_capacity(10_000);
    for number in 0..30_000 {
        complete(&store, number);
    }
    assert_eq!((store.len(), store.forgotten()), (10_000, 20_000));
}

fn complete(store: &MemoryStore, number: u64) {
    let Claimed::Acquired(token) = claim(store, number) else {
        panic!("key {number} is fresh");
    };
    let completed = now(store.complete(&key(number), &token, RETENTION));
    assert!(completed);
}

fn claim(store: &MemoryStore, number: u64) -> Claimed {
    now(store.claim(&key(number), LEASE))
}

fn key(number: u64) -> EventKey {
    EventKey::new("auth.confirmed", number.to_le_bytes())
}

/// The answer of a call. Every call of this store answers on its first poll.
fn now<T, E: fmt::Debug>(call: impl Future<Output = Result<T, E>>) -> T {
    let answer = call.now_or_never().expect("no waiting");
    answer.expect("the store answers")
}
