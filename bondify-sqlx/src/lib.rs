#![cfg_attr(
    all(feature = "mysql", feature = "postgres", feature = "sqlite"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(feature = "mysql", feature = "postgres", feature = "sqlite")),
    doc = "Dedupe stores on PostgreSQL (feature `postgres`), MySQL and MariaDB (feature `mysql`) \
           and SQLite (feature `sqlite`), and a transactional inbox. See the README."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "mysql", feature = "postgres", feature = "sqlite")),
    allow(dead_code, reason = "only the engines together need all of it")
)]

mod call;
mod check;
mod engine;
mod inbox;
#[cfg(feature = "mysql")]
mod mysql;
mod name;
#[cfg(feature = "postgres")]
mod postgres;
mod purge;
// The package `recipe-tests` compiles these and runs them on the engines.
#[cfg(all(doc, not(doctest)))]
pub mod recipes;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod table;
#[cfg(feature = "postgres")]
mod wakeups;

pub use sqlx;

#[cfg(feature = "mysql")]
pub use crate::mysql::{MySqlInbox, MySqlStore};
#[cfg(feature = "postgres")]
pub use crate::postgres::{PostgresInbox, PostgresStore};
#[cfg(feature = "sqlite")]
pub use crate::sqlite::{SqliteInbox, SqliteStore};
#[cfg(feature = "postgres")]
pub use crate::wakeups::PgWakeups;
pub use crate::{
    inbox::{Inbox, Recorded},
    name::TableNameError,
    store::Store,
};
