//! The way of a delivery: it is read, verified, claimed, handled and settled.

mod claim;
mod delivery;
mod receive;
mod request;
mod shared;

pub use self::{
    claim::{Claim, Settle},
    delivery::{Delivery, Handling, Run},
    receive::Receive,
    shared::DrainTimedOut,
};
pub(crate) use self::{request::read_limit, shared::Pipeline};
