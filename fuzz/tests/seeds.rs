//! Runs every target on its seeds, which needs neither nightly Rust nor libFuzzer.

use std::{fs, path::Path};

use bondify_fuzz::TARGETS;

/// Runs the target called `name` on each of its seeds.
fn replay(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(other, _)| *other == name).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let seeds: Vec<_> = fs::read_dir(folder).expect("the target has seeds").collect();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in seeds {
        let path = seed.expect("a seed").path();
        println!("{}", path.display());
        target(&fs::read(path).expect("the seed is read"));
    }
}

#[test]
fn signed_body() {
    replay("signed_body");
}

#[test]
fn signature() {
    replay("signature");
}

#[test]
fn proof() {
    replay("proof");
}

#[test]
fn api_answer() {
    replay("api_answer");
}

#[test]
fn emulator_state() {
    replay("emulator_state");
}

#[test]
fn emulator_api() {
    replay("emulator_api");
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for folder in fs::read_dir(seeds).expect("there are seeds") {
        let name = folder.expect("a folder").file_name();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name:?}");
    }
}
