//! Every page of this repository, checked.

use bondify_testkit::skipped;
use docs_tests::Repository;

#[test]
fn every_link_leads_somewhere_and_no_line_is_hidden() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let rustdoc = concat!(env!("CARGO_TARGET_TMPDIR"), "/../doc");
    let repository = Repository::new(root, env!("CARGO_PKG_REPOSITORY"), rustdoc);
    let report = repository.check().unwrap();

    let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    if !report.without_rustdoc.is_empty() {
        skipped("links to docs.rs", "need `cargo doc --workspace --all-features --no-deps`");
    }
}
