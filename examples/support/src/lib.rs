//! What the server examples share: how they are set up, and how they are tested.

#![expect(clippy::print_stderr, reason = "how a program says what is wrong")]

#[cfg(feature = "browser")]
pub mod browser;
pub mod process;

use std::{env, fmt, process::exit};

/// The port to listen on, from the environment variable `PORT`: 3000 unless set. Anything
/// but a port number ends the program.
#[must_use]
pub fn port() -> u16 {
    match env::var("PORT") {
        Ok(port) => port.parse().unwrap_or_else(|_| usage(format!("PORT is no number: {port:?}"))),
        Err(_) => 3000,
    }
}

/// Ends the program with exit code 2, for a setting that is missing or makes no sense.
pub fn usage<T>(error: impl fmt::Display) -> T {
    eprintln!("error: {error}");
    exit(2)
}
