#![doc = include_str!("../README.md")]

mod event;
mod hook;

pub use bondify_core::*;

pub use crate::{
    event::BondifyEvent,
    hook::{Hook, hook, webhook},
};
