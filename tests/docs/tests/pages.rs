//! Every page of this repository, checked.

use bondify_testkit::skipped;
use docs_tests::{Fault, Repository};

fn repository() -> Repository {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let rustdoc = concat!(env!("CARGO_TARGET_TMPDIR"), "/../doc");
    Repository::new(root, env!("CARGO_PKG_REPOSITORY"), rustdoc)
}

fn assert_none(faults: &[Fault]) {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_link_leads_somewhere_and_no_line_is_hidden() {
    let report = repository().check().unwrap();
    assert_none(&report.faults);
    if !report.without_rustdoc.is_empty() {
        skipped("links to docs.rs", "need `cargo doc --workspace --all-features --no-deps`");
    }
}

#[test]
fn every_quoted_message_is_in_the_source() {
    assert_none(&repository().check_quotes().unwrap());
}

#[test]
fn every_code_metric_and_environment_variable_is_in_the_source() {
    assert_none(&repository().check_names().unwrap());
}
