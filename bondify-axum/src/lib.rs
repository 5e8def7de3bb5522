#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod event;
mod ext;
mod handler;
#[cfg(feature = "proof")]
mod user;

pub use bondify_core::*;

#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
pub use crate::user::BondifyUser;
pub use crate::{
    event::{BondifyEvent, Rejection},
    ext::{BondifyExt, BondifyLayer},
};
