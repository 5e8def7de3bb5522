//! The emulator over real sockets, as apps and tests use it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod control_api;
mod delivery;
mod developer_api;
mod guard;
mod handler;
mod public_api;
mod readings;
mod restart;
mod schemas;
mod support;
