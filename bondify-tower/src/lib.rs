#![doc = include_str!("../README.md")]

mod body;
mod layer;

pub use bondify_core::*;

pub use crate::{
    body::ResponseBody,
    layer::{BondifyLayer, BondifyService},
};
