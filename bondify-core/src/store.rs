//! Dedupe stores: the trait, the key of an event, and the store in memory. And wake-ups, likewise.

#[cfg(feature = "pipeline")]
mod dedupe;
mod key;
#[cfg(feature = "pipeline")]
mod memory;
#[cfg(feature = "pipeline")]
mod wakeups;

#[cfg(feature = "pipeline")]
pub(crate) use self::dedupe::within;
pub use self::key::EventKey;
#[cfg(feature = "pipeline")]
pub use self::{
    dedupe::{Claimed, DedupeStore, LeaseToken, StoreError},
    memory::MemoryStore,
    wakeups::{MemoryWakeups, Wakeups},
};
