//! The store beside a connection pool or another client.
//!
//! The store needs one connection, which all its calls share, and a pool would give it no more. But
//! it can make that connection as the pool makes its own.
//!
//! These programs are compiled, and run on Redis, in the tests of this repository.
//!
//! ## deadpool-redis
//!
//! With `deadpool` as a dependency of yours, too: of it comes the trait `Manager`.
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
//! Its connections are not those of the crate [`redis`], so the store has one of its
//! own beside them: `RedisStore::open(redis::Client::open(url)?)`.
