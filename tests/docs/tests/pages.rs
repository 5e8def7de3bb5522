//! Every page of this repository, checked.

use std::{env, path::PathBuf};

use bondify_testkit::skipped;
use docs_tests::Repository;

#[test]
fn every_link_leads_somewhere_and_no_line_is_hidden() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let repository = Repository::new(root, env!("CARGO_PKG_REPOSITORY"), target.join("doc"));
    let report = repository.check().unwrap();

    let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    if !report.without_rustdoc.is_empty() {
        skipped("links to docs.rs", "need `cargo doc --workspace --all-features --no-deps`");
    }
}
