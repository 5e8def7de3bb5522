//! The way of a delivery: it is read, verified, claimed, handled and settled.

mod admission;
mod claim;
mod delivery;
mod handle;
mod receive;
mod request;
mod shared;
mod waiting;

pub(crate) use self::shared::Pipeline;
pub use self::{
    claim::{Claim, Settle},
    delivery::{Delivery, Handling, Run},
    handle::{HandleError, Handled},
    receive::Receive,
    shared::DrainTimedOut,
};
