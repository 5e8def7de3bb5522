#![doc = include_str!("../README.md")]

mod script;
mod store;

pub use redis;

pub use crate::store::RedisStore;
