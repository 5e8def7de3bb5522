//! The command as a process: what it prints, how it ends, what it sends and receives.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod arguments;
mod catch_up;
mod deliveries;
mod doctor;
mod emulate;
mod endings;
mod help;
mod listen;
mod login;
mod machine;
mod output;
mod projects;
mod proxy;
mod readme;
mod secret;
mod sign;
mod support;
mod trigger;
mod verify;
