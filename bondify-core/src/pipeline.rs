//! The way of a delivery: it is read, verified, claimed, handled and settled.

mod claim;
mod delivery;
mod receive;
mod request;
mod shared;

pub(crate) use self::shared::Pipeline;
pub use self::{
    claim::{Claim, Settle},
    delivery::{Delivery, Handling, Run},
    receive::Receive,
    shared::DrainTimedOut,
};
