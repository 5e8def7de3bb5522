//! The steps of a delivery: its body is read, its event is claimed, its claim is settled.

mod body;
mod claim;
mod claiming;
mod shared;
mod waiting;

pub(crate) use self::{
    body::{read, read_limit},
    shared::{Pipeline, Shared},
};
pub use self::{claim::Claim, shared::DrainTimedOut};
