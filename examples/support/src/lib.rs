//! Code that the server examples share: their settings and their tests.

#![expect(clippy::print_stderr, reason = "the error output of a program")]

#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "login")]
pub mod login;
pub mod process;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "login")]
pub mod shop;

use std::{env, fmt, process::exit};

/// The port to listen on: the environment variable `PORT`, or 3000. A value that is not a port number ends
/// the program.
#[must_use]
pub fn port() -> u16 {
    match env::var("PORT") {
        Ok(port) => port
            .parse()
            .unwrap_or_else(|_| usage(format!("PORT must be a number from 0 to 65535: {port:?}"))),
        Err(_) => 3000,
    }
}

/// Ends the program with exit code 2, for a missing or invalid setting.
pub fn usage<T>(error: impl fmt::Display) -> T {
    eprintln!("error: {error}");
    exit(2)
}
