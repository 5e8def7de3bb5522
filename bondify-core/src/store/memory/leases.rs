use std::{
    collections::{
        HashMap,
        hash_map::{Entry, OccupiedEntry},
    },
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use crate::{EventKey, LeaseToken};

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

/// The leases of a shard, by the bits of their keys.
#[derive(Default)]
pub(super) struct Leases(HashMap<u128, Lease, BuildHasherDefault<LowHalf>>);

impl Leases {
    /// The entry of `key`, occupied by a lease or vacant.
    pub(super) fn entry(&mut self, key: &EventKey) -> Entry<'_, u128, Lease> {
        self.0.entry(key.bits())
    }

    /// The lease of `key`, if `token` holds it and it has not run out.
    pub(super) fn held(
        &mut self,
        key: &EventKey,
        token: &LeaseToken,
        now: Duration,
    ) -> Option<OccupiedEntry<'_, u128, Lease>> {
        let Entry::Occupied(lease) = self.entry(key) else { return None };
        (lease.get().token == *token && !lease.get().has_run_out(now)).then_some(lease)
    }

    pub(super) fn drop_expired(&mut self, now: Duration) {
        self.0.retain(|_, lease| !lease.has_run_out(now));
        // Gives back the memory of a table that is mostly empty.
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(2 * self.0.len());
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A hasher that returns the lower half of a key's bits, since a key is a digest already.
#[derive(Default)]
struct LowHalf(u64);

impl Hasher for LowHalf {
    fn write_u128(&mut self, bits: u128) {
        self.0 = bits as u64;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a key is hashed as one u128");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
