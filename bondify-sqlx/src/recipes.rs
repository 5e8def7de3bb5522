//! The inbox in transactions of other libraries than sqlx.
//!
//! SeaORM and Diesel do not hand out the connection of a transaction in a form that
//! [`Inbox::record`](crate::Inbox::record) takes. So run its statement through them. The effect is
//! the same: the record and the effect commit together or not at all, and a concurrent duplicate
//! waits. The table is that of [`Inbox::migrate`](crate::Inbox::migrate), and sqlx and the other
//! library can use it at the same time.
//!
//! These programs are compiled, and run on the engines, in the tests of this repository.
//!
//! ## SeaORM on PostgreSQL
//!
//! ```
#![doc = include_str!("../recipes/sea_orm.rs")]
//! ```
//!
//! ## Diesel on SQLite
//!
//! The statement of PostgreSQL is below. SQLite's `busy_timeout` bounds the wait of a duplicate.
//!
//! ```
#![doc = include_str!("../recipes/diesel.rs")]
//! ```
//!
//! ## diesel-async on PostgreSQL
//!
//! Diesel's own `PgConnection` runs the same statement, without `async`.
//!
//! ```
#![doc = include_str!("../recipes/diesel_async.rs")]
//! ```
