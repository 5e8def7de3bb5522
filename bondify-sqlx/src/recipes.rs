//! The inbox in transactions of SeaORM, Diesel and diesel-async.
//!
//! [`Inbox::record`](crate::Inbox::record) needs the connection of a transaction of sqlx, which these
//! libraries do not give out. Run the inbox's statement through them instead. The result is the same:
//! the record and the effect commit together or not at all, and a concurrent duplicate waits.
//! [`Inbox::migrate`](crate::Inbox::migrate) creates the table, and sqlx and the other library can use it
//! at the same time.
//!
//! The statement writes a random negative token and returns the row's token: it is the one that was written
//! if the event is new. The crate `fastrand` draws it.
//!
//! The tests of this repository compile these programs and run them on the engines.
//!
//! ## SeaORM on PostgreSQL
//!
//! ```
#![doc = include_str!("../recipes/sea_orm.rs")]
//! ```
//!
//! ## Diesel on SQLite
//!
//! The statement for PostgreSQL is below. SQLite's `busy_timeout` limits the wait of a duplicate.
//!
//! ```
#![doc = include_str!("../recipes/diesel.rs")]
//! ```
//!
//! ## diesel-async on PostgreSQL
//!
//! On Diesel's own `PgConnection`, run the same statement without `async`.
//!
//! ```
#![doc = include_str!("../recipes/diesel_async.rs")]
//! ```
