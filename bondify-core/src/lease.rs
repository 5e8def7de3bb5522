//! Leases: the exclusive right to handle a key, held in a dedupe store.
//!
//! The rules of a lease:
//!
//! 1. A handler starts only with more than two thirds of its lease left. A claim that is
//!    answered later than that is renewed first.
//! 2. A lease is renewed while its handler runs and while its completion is tried, and never
//!    once its release has begun.
//! 3. Every call to the store ends: it is answered, or given up after a time-out. A claim that
//!    its delivery has given up is awaited for one more lease, and what it acquires is released.
//! 4. A completion or release that fails is tried again until it is answered or the lease
//!    could be another's. An error, a panic and a time-out are the same to it.
//! 5. An answer waits only for what could change it: for a completion up to the time-out of
//!    the store, for a release not at all.
//! 6. A lease that is lost changes nothing in the store any more, and its loss is logged.

mod held;
mod manager;
mod runtime;

pub(crate) use self::{
    held::Holder,
    manager::{Attempt, Lease, LeaseManager},
    runtime::Call,
};
