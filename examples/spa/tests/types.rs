//! The types of the single-page app, as the TypeScript compiler checks them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::Command};

use bondify_testkit::skipped;

#[test]
fn the_app_has_no_type_error() {
    let Ok(compiler) = env::var("BONDIFY_TEST_TSC") else {
        return skipped("BONDIFY_TEST_TSC", "is not set");
    };
    let checked = Command::new(compiler).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
