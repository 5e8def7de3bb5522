#![doc = include_str!("../README.md")]

mod event;
mod ext;

pub use bondify_core::*;

pub use crate::{
    event::{BondifyEvent, Rejection},
    ext::{BondifyExt, BondifyLayer},
};
