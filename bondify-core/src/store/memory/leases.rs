use std::time::Duration;

use hashbrown::{
    HashTable,
    hash_table::{Entry, OccupiedEntry},
};

use crate::{EventKey, LeaseToken};

#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) key: EventKey,
    pub(super) token: LeaseToken,
    /// Since the store's creation.
    pub(super) expires: Duration,
}

impl Lease {
    pub(super) fn has_run_out(&self, now: Duration) -> bool {
        self.expires <= now
    }
}

/// The leases of a shard.
#[derive(Default)]
pub(super) struct Leases {
    table: HashTable<Lease>,
    tokens: u64,
}

impl Leases {
    /// A token that no other lease of the shard has.
    pub(super) fn next_token(&mut self) -> LeaseToken {
        self.tokens += 1;
        LeaseToken::new(self.tokens)
    }

    /// The place of `key`, whether it is taken or not.
    pub(super) fn entry(&mut self, key: &EventKey) -> Entry<'_, Lease> {
        self.table.entry(key.hash(), |lease| lease.key == *key, |lease| lease.key.hash())
    }

    /// The lease of `key`, if `token` holds it and it has not run out.
    pub(super) fn held(
        &mut self,
        key: &EventKey,
        token: &LeaseToken,
        now: Duration,
    ) -> Option<OccupiedEntry<'_, Lease>> {
        let lease = self.table.find_entry(key.hash(), |lease| lease.key == *key).ok()?;
        (lease.get().token == *token && !lease.get().has_run_out(now)).then_some(lease)
    }

    pub(super) fn drop_expired(&mut self, now: Duration) {
        self.table.retain(|lease| !lease.has_run_out(now));
        // Gives back the memory of a table that is mostly empty.
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(2 * self.table.len(), |lease| lease.key.hash());
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
