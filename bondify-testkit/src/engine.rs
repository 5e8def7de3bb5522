use std::{
    env,
    io::{Write, stderr},
    process,
};

/// The URL of the real engine that a test runs against, from the environment `variable`.
///
/// Without it, the test binary has nothing to do: it says so in a line and ends, with
/// success. In CI, where `CI` is set, that is a failure.
///
/// # Panics
///
/// If the variable is not set, and `CI` is.
#[must_use]
pub fn engine_url(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_unset| {
        assert!(env::var_os("CI").is_none(), "{variable} is not set, and in CI it has to be");
        // Not captured by the test harness, as `eprintln!` is.
        let _no_terminal = writeln!(stderr(), "\nSKIPPED: {variable} is not set");
        process::exit(0)
    })
}
