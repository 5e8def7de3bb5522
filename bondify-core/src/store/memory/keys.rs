use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::tick::tick;
use crate::{EventKey, LeaseToken};

/// A part of the keys, behind a lock. No two shards share a cache line.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Shard(Mutex<Keys>);

impl Shard {
    pub(super) fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of a shard. Each is in one of the two tables at most.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) leases: Table<Lease>,
    /// The completed keys, each with the last tick of its retention: 20 bytes, as a key has no alignment.
    pub(super) completed: Table<u32>,
    /// The earliest tick of a completed key. `None` if there was none since the last sweep.
    earliest: Option<u32>,
}

pub(super) struct Lease {
    pub(super) token: LeaseToken,
    /// The expiry, as the time since the store's creation.
    pub(super) expires: Duration,
}

impl Keys {
    /// The lease of `key`, if `token` holds it and it has not run out.
    pub(super) fn held(
        &mut self,
        key: &EventKey,
        token: &LeaseToken,
        now: Duration,
    ) -> Option<&mut Lease> {
        let lease = self.leases.get_mut(key)?;
        (lease.token == *token && lease.expires > now).then_some(lease)
    }

    pub(super) fn complete(&mut self, key: EventKey, until: u32) {
        self.completed.insert(key, until);
        self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
    }

    /// Drops the completed key that expires first, and returns its last tick.
    pub(super) fn forget_first(&mut self) -> Option<u32> {
        let (&first, _) = self.completed.iter().min_by_key(|&(_, until)| until)?;
        self.completed.remove(&first)
    }

    pub(super) fn may_hold_expired(&self, now: Duration) -> bool {
        self.earliest.is_some_and(|earliest| earliest < tick(now))
    }

    /// Drops the keys that have run out, and returns the number of those that were completed.
    pub(super) fn drop_expired(&mut self, now: Duration) -> usize {
        retain(&mut self.leases, |lease| lease.expires > now);
        if !self.may_hold_expired(now) {
            return 0;
        }
        let before = self.completed.len();
        retain(&mut self.completed, |&until| until >= tick(now));
        self.earliest = self.completed.values().min().copied();
        before - self.completed.len()
    }
}

type Table<V> = HashMap<EventKey, V, BuildHasherDefault<FirstHalf>>;

fn retain<V>(table: &mut Table<V>, keep: impl Fn(&V) -> bool) {
    table.retain(|_, value| keep(value));
    // Gives back the memory of a table that is mostly empty.
    if table.len() < table.capacity() / 4 {
        table.shrink_to(2 * table.len());
    }
}

/// A hasher that returns the first half of a key, since a key is a digest already.
#[derive(Default)]
pub(super) struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((half, _)) = bytes.split_first_chunk() {
            self.0 = u64::from_ne_bytes(*half);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
