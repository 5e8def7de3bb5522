//! The store together with deadpool-redis, bb8-redis or fred.
//!
//! The store needs one connection, which all its calls share, so it does not use a pool. But it can
//! open that connection in the same way as the pool opens its connections.
//!
//! The tests of this repository compile these programs and run them on Redis.
//!
//! ## deadpool-redis
//!
//! Add `deadpool` to your dependencies too: it has the trait `Manager`.
//!
//! ```
#![doc = include_str!("../recipes/deadpool.rs")]
//! ```
//!
//! ## bb8-redis
//!
//! ```
#![doc = include_str!("../recipes/bb8.rs")]
//! ```
//!
//! ## fred
//!
//! fred does not use the connections of the crate [`redis`], so the store opens its own:
//! `RedisStore::open(redis::Client::open(url)?)`.
