use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{NEVER, digest};
use crate::EventKey;

/// The shard of a key, of a power of two of them.
pub(super) fn shard<'a, E>(shards: &'a [Shard<E>], key: &EventKey) -> &'a Shard<E> {
    // The half of the digest that `hash` does not use.
    let number = (digest(key) >> 64) as usize;
    &shards[number & (shards.len() - 1)]
}

/// Some of the keys, behind a lock. No two shards share a line of the cache.
#[repr(align(64))]
pub(super) struct Shard<E> {
    /// No entry runs out in an earlier tick. Changed under the lock only; read
    /// without it, so that a sweep of an idle store takes no lock.
    pub(super) earliest: AtomicU32,
    entries: Mutex<E>,
}

/// What a shard holds.
pub(super) trait Entries: Default {
    /// Drops what has run out before `tick`, and says how many entries that were.
    fn drop_expired(&mut self, tick: u32) -> usize;

    /// The first tick in which an entry runs out.
    fn earliest(&self) -> Option<u32>;
}

impl<E: Entries> Shard<E> {
    pub(super) fn many(count: usize) -> Box<[Self]> {
        let shard = || Self { earliest: AtomicU32::new(NEVER), entries: Mutex::default() };
        (0..count).map(|_| shard()).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, E> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the sweeper know that an entry runs out in `tick`.
    pub(super) fn note_expiry(&self, tick: u32) {
        self.earliest.fetch_min(tick, Relaxed);
    }

    pub(super) fn may_hold_expired(&self, tick: u32) -> bool {
        self.earliest.load(Relaxed) < tick
    }

    /// Drops what has run out, if anything may have, and says how many entries that were.
    pub(super) fn sweep(&self, tick: u32) -> usize {
        if !self.may_hold_expired(tick) {
            return 0;
        }
        let mut entries = self.lock();
        let dropped = entries.drop_expired(tick);
        self.earliest.store(entries.earliest().unwrap_or(NEVER), Relaxed);
        dropped
    }
}
