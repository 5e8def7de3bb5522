//! Real engines for the tests of a dedupe store, and ways to make them fail.
//!
//! - [`Engine`] starts a Redis, a PostgreSQL or a MariaDB that belongs to one test, and stops, crashes
//!   and restarts it. If wanted, it [demands TLS](Engine::redis_with_tls).
//! - [`Proxy`] stands between a store and its engine. It can stop forwarding on the open connections, as a
//!   NAT or a load balancer does that has forgotten them; lead new connections to another engine, as a
//!   failover does; and close connections.
//! - [`RedisPair`] is a Redis with a replica, for failovers with and without a Sentinel.
//! - [`PgBouncer`] is a pooler in front of a PostgreSQL.
//! - [`Nginx`] is a proxy in front of an HTTP server.
//!
//! ```no_run
//! use test_engines::{Engine, Proxy, Stop};
//!
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! let Some(mut engine) = Engine::postgres() else { return Ok(()) }; // not installed: skipped
//! let proxy = Proxy::start(engine.postgres_socket()).await?;
//! println!("connect to postgres://postgres@{}/postgres", proxy.address());
//!
//! proxy.go_deaf(); // the open connections are silent from now on
//! engine.stop(Stop::Crash);
//! engine.start_again();
//! # Ok(())
//! # }
//! ```

#![cfg(unix)]

mod encrypted;
mod mariadb;
pub mod network;
mod nginx;
mod owner;
mod pgbouncer;
mod postgres;
mod proxied;
mod proxy;
mod redis_pair;
mod server;

pub use self::{
    nginx::Nginx,
    pgbouncer::PgBouncer,
    proxied::an_oversized_body_behind_nginx_is_refused,
    proxy::{Proxy, Upstream},
    redis_pair::RedisPair,
    server::{Engine, Stop},
};
