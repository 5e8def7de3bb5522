use std::{
    collections::HashSet,
    env,
    io::{Write, stderr},
    sync::{Mutex, PoisonError},
};

/// Returns the URL of a running engine from the environment variable `variable`. If it is not set,
/// returns `None` and reports the tests as [`skipped`].
///
/// ```no_run
/// use bondify_testkit::engine_url;
///
/// fn a_test_on_redis() {
///     let Some(url) = engine_url("MY_TEST_REDIS_URL") else { return };
///     println!("connecting to {url}");
/// }
/// ```
///
/// # Panics
///
/// If the variable is not set and `CI` is.
#[must_use]
pub fn engine_url(variable: &'static str) -> Option<String> {
    let url = env::var(variable).ok();
    if url.is_none() {
        skipped(variable, "is not set");
    }
    url
}

/// Prints, once per `what`, that tests are skipped and why. The message is not captured by the test
/// harness.
///
/// ```no_run
/// use bondify_testkit::skipped;
///
/// fn a_test_over_ipv6() {
///     if std::net::TcpListener::bind("[::1]:0").is_err() {
///         return skipped("tests over IPv6", "the machine has no IPv6");
///     }
/// }
/// ```
///
/// # Panics
///
/// If the environment variable `CI` is set: no test may be skipped in CI.
pub fn skipped(what: &'static str, why: &str) {
    static SAID: Mutex<Option<HashSet<&str>>> = Mutex::new(None);

    assert!(
        env::var_os("CI").is_none(),
        "{what} {why}; install or set it, because no test may be skipped in CI"
    );
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(what) {
        let _best_effort = writeln!(stderr(), "SKIPPED: {what} {why}");
    }
}
