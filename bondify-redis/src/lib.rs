#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connection;
// The package `recipe-tests` compiles these and runs them on the engines.
#[cfg(all(doc, not(doctest)))]
pub mod recipes;
mod rights;
mod script;
mod settings;
mod store;
mod wakeups;

pub use redis;

pub use crate::{connection::Connect, store::RedisStore, wakeups::RedisWakeups};
