use std::{
    collections::{
        HashMap,
        hash_map::{Entry, OccupiedEntry},
    },
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use crate::{EventKey, LeaseToken, limits::SWEEP_INTERVAL};

/// The keys of a shard. Each is in one of the two tables at most.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) leases: Table<Lease>,
    /// The completed keys, each with its last [`tick`].
    pub(super) completed: Table<u32>,
    pub(super) next_sweep: Duration,
}

type Table<T> = HashMap<EventKey, T, BuildHasherDefault<FirstHalf>>;

pub(super) struct Lease {
    pub(super) token: LeaseToken,
    /// The expiry, as the time since the store's creation.
    pub(super) expires: Duration,
}

impl Lease {
    pub(super) fn has_run_out(&self, now: Duration) -> bool {
        self.expires <= now
    }
}

impl Keys {
    /// The lease of `key`, if `token` holds it and it has not run out.
    pub(super) fn held(
        &mut self,
        key: &EventKey,
        token: &LeaseToken,
        now: Duration,
    ) -> Option<OccupiedEntry<'_, EventKey, Lease>> {
        let Entry::Occupied(lease) = self.leases.entry(*key) else { return None };
        (lease.get().token == *token && !lease.get().has_run_out(now)).then_some(lease)
    }

    /// Drops the keys that have run out. Returns the number of completed ones.
    pub(super) fn sweep(&mut self, now: Duration) -> usize {
        self.next_sweep = now + SWEEP_INTERVAL;
        let before = self.completed.len();
        self.leases.retain(|_, lease| !lease.has_run_out(now));
        self.completed.retain(|_, until| *until >= tick(now));
        shrink(&mut self.leases);
        shrink(&mut self.completed);
        before - self.completed.len()
    }

    /// Removes the completed key that expires first. Returns its last tick.
    pub(super) fn forget_first(&mut self) -> Option<u32> {
        let (&first, _) = self.completed.iter().min_by_key(|(_, until)| **until)?;
        self.completed.remove(&first)
    }
}

/// Gives back the memory of a table that is mostly empty.
fn shrink<T>(table: &mut Table<T>) {
    if table.len() < table.capacity() / 4 {
        table.shrink_to(2 * table.len());
    }
}

/// The number of the tick that `time` falls in, 64 ms each, so that a completed key is kept for up to 64 ms
/// longer than its retention. The numbers last for 8.7 years from the store's creation. After that, a store
/// keeps its new keys until it is full.
pub(super) fn tick(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 64).unwrap_or(u32::MAX)
}

/// A hasher that returns the first half of a key, which is a digest already.
#[derive(Default)]
pub(super) struct FirstHalf(u64);

impl Hasher for FirstHalf {
    // The key's length is written before its bytes.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
