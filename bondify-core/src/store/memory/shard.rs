use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{completed::CompletedKeys, leases::Leases};

/// A part of the keys, behind a lock. No two shards share a cache line.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Shard(Mutex<Keys>);

/// The keys of a shard. Each is in one of the two tables at most.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) leases: Leases,
    pub(super) completed: CompletedKeys,
}

impl Shard {
    pub(super) fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
