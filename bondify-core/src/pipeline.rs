//! The steps of a delivery: its body is read, its event is claimed, its claim is settled.

mod body;
mod claim;
mod claiming;
mod deadlines;
mod shared;
mod waiting;

pub(crate) use self::{
    body::{read, read_limit},
    deadlines::Deadlines,
    shared::Pipeline,
};
pub use self::{claim::Claim, shared::DrainTimedOut};
