//! The steps of a delivery: it is read, verified, claimed, handled and settled.

mod admission;
mod claim;
mod delivery;
mod handle;
mod receive;
mod request;
mod shared;
mod waiting;

pub use self::{
    claim::{Claim, Settle},
    delivery::{Delivery, Handling, Run},
    handle::{HandleError, Handled},
    receive::{Receive, choose},
    shared::DrainTimedOut,
};
pub(crate) use self::{request::read_limit, shared::Pipeline};
