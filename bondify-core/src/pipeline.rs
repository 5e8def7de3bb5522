//! The claim of an event: it is waited for, and settled.

mod claim;
mod claiming;
mod shared;
mod waiting;

pub use self::claim::Claim;
pub(crate) use self::{claiming::Claiming, shared::Shared};
