#![doc = include_str!("../README.md")]

mod event;
mod ext;
mod mount;
mod parked;

pub use bondify_core::*;

pub use crate::{event::BondifyEvent, ext::BondifyExt, mount::BondifyMount};
