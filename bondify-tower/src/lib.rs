#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod future;
mod layer;
#[cfg(feature = "proof")]
mod user;

pub use bondify_core::*;

#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
pub use crate::user::{BondifyUserLayer, BondifyUserService};
pub use crate::{
    body::ResponseBody,
    future::{Deliver, ResponseFuture},
    layer::{BondifyLayer, BondifyService},
};
