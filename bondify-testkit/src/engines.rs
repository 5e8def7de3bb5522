//! Real engines for the tests of a dedupe store, and the ways in which they fail.
//!
//! [`Engine`] starts a Redis, a PostgreSQL or a MariaDB that belongs to one test, and stops, crashes and
//! restarts it. [`Proxy`] stands between a store and its engine: it goes deaf on the
//! connections that are open, as a NAT or a load balancer does that forgot them, moves an
//! address to another engine, as a failover does, and cuts connections. [`RedisPair`] is a Redis
//! with a replica, which takes over when told to or when a Sentinel finds that the primary is
//! gone. [`PgBouncer`] is a pooler in front of a PostgreSQL. [`Nginx`] is a proxy in
//! front of an HTTP server.

mod mariadb;
mod nginx;
mod owner;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis_pair;
mod server;

pub use self::{
    nginx::Nginx,
    pgbouncer::PgBouncer,
    proxy::{Proxy, Upstream},
    redis_pair::RedisPair,
    server::{Engine, Stop},
};
