//! The drawings of the architecture, compared with the manifests and the imports.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use docs_tests::{Arrows, Modules, arrows, between_folders, circles, reached};

fn root() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into()
}

/// The drawing below a heading.
fn drawing(heading: &str) -> Arrows {
    let page = fs::read_to_string(root().join(".github/ARCHITECTURE.md")).unwrap();
    let (_, section) = page.split_once(&format!("## {heading}\n")).unwrap();
    let (_, drawing) = section.split_once("```text\n").unwrap();
    arrows(drawing.split_once("```").unwrap().0)
}

/// The published crates.
fn crates() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(Result::unwrap);
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let is_ours = |name: &String| name.starts_with("bondify-") && name != "bondify-bench";
    names.filter(is_ours).collect()
}

/// The crates of this repository that a crate depends on, but for its tests.
fn dependencies(of: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(of).join("Cargo.toml")).unwrap();
    let mut is_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_dependencies = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if is_dependencies && line.starts_with("bondify-") {
            found.push(line.split(['.', ' ', '=']).next().unwrap().to_owned());
        }
    }
    found
}

/// Asserts that each actual arrow is drawn, in one or several steps, and each drawn one exists.
fn compare(drawn: &Arrows, actual: &Arrows) {
    for (from, to) in actual {
        assert!(reached(drawn, from).contains(to), "{from} uses {to}: no arrow leads there");
    }
    for (from, to) in drawn {
        let arrow = (from.clone(), to.clone());
        assert!(actual.contains(&arrow), "{from} does not use {to}: the arrow is drawn in vain");
    }
}

#[test]
fn the_crates_depend_on_each_other_as_drawn() {
    let of = |name: String| dependencies(&name).into_iter().map(move |on| (name.clone(), on));
    let actual = crates().into_iter().flat_map(of).collect();
    compare(&drawing("Dependencies between the crates"), &actual);
}

#[test]
fn the_modules_of_core_import_from_each_other_as_drawn() {
    let modules = Modules::read(&root().join("bondify-core/src")).unwrap();
    compare(&drawing("Inside core"), &between_folders(&modules.imports()));
}

#[test]
fn modules_do_not_import_from_each_other_in_circles() {
    let mut faults = Vec::new();
    for name in crates() {
        let imports = Modules::read(&root().join(&name).join("src")).unwrap().imports();
        let folders = circles(&between_folders(&imports));
        for (from, to) in circles(&imports).iter().chain(&folders) {
            faults.push(format!("{name}: {from} imports from {to}, which leads back to it"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
