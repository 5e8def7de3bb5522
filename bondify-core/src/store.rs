//! Dedupe stores: the trait, the key of an event, and the store in memory.

mod dedupe;
mod key;
mod memory;

pub(crate) use self::dedupe::within;
pub use self::{
    dedupe::{Claimed, DedupeStore, ImmediateStore, LeaseToken, StoreError},
    key::EventKey,
    memory::MemoryStore,
};
