//! Leases: the exclusive right to handle a key, held in a dedupe store.
//!
//! The rules of a lease:
//!
//! 1. A handler starts only with more than two thirds of its lease left. If the answer to the claim
//!    takes longer, the lease is renewed first.
//! 2. A lease is renewed while its handler runs and while its completion is tried. It is never
//!    renewed once its release has begun.
//! 3. Every call to the store ends: it is answered, or it times out. A claim that its delivery no longer
//!    waits for is awaited for one more lease, and released if it is granted.
//! 4. A completion that fails is retried for 60 s (`COMPLETION_LIMIT`), whether or not its lease has run
//!    out: the key is claimed again and completed. It ends earlier only if the key is completed or another
//!    delivery holds its lease. Until then this process answers duplicates as if it were completed, and
//!    completes it by their leases too. A release that fails is retried until the lease has run out. An error, a
//!    panic and a time-out are treated alike.
//! 5. An answer to Bondify waits for a completion, up to the time-out of the store. It does not wait for
//!    a release.
//! 6. A lost lease changes nothing in the store, and its loss is logged.

mod call;
mod leases;

pub(crate) use self::{
    call::Call,
    leases::{Attempt, Holder, Lease, Leases},
};
