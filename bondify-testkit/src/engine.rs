use std::{
    collections::HashSet,
    env,
    io::{Write, stderr},
    sync::{Mutex, PoisonError},
};

/// The URL of the real engine that tests run against, from the environment `variable`.
/// `None` if it is not set, which is [`skipped`].
///
/// # Panics
///
/// If it is not set, and the tests run in CI.
#[must_use]
pub fn engine_url(variable: &'static str) -> Option<String> {
    let url = env::var(variable).ok();
    if url.is_none() {
        skipped(variable, "is not set");
    }
    url
}

/// Says, once and past the harness that captures output, what tests have to go without.
///
/// # Panics
///
/// In CI, where `CI` is set: there, no test is skipped.
pub fn skipped(what: &'static str, why: &str) {
    static SAID: Mutex<Option<HashSet<&str>>> = Mutex::new(None);

    assert!(env::var_os("CI").is_none(), "{what} {why}, and in CI no test is skipped");
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(what) {
        let _nobody_listens = writeln!(stderr(), "SKIPPED: {what} {why}");
    }
}
