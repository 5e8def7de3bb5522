#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connection;
mod rights;
mod script;
mod store;

pub use redis;

pub use crate::{connection::Connect, store::RedisStore};
