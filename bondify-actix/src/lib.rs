#![doc = include_str!("../README.md")]

mod event;
mod ext;
mod middleware;

pub use bondify_core::*;

pub use crate::{
    event::{BondifyEvent, Rejection},
    ext::BondifyExt,
    middleware::{BondifyMiddleware, BondifyService},
};
