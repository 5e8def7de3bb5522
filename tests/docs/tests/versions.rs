//! The versions on the pages, compared with the manifests: of each crate, of the framework or driver that it is for,
//! and of the oldest Rust.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The dependencies whose types are in the public items of ours, with their names in prose.
const PUBLIC: [(&str, &str); 7] = [
    ("actix-web", "actix-web"),
    ("axum", "axum"),
    ("redis", "redis"),
    ("rocket", "Rocket"),
    ("sqlx", "sqlx"),
    ("tower-service", "tower-service"),
    ("warp", "warp"),
];

/// Programs and servers, which keep their framework to themselves.
const PRIVATE: [&str; 2] = ["bondify-cli", "bondify-emulator"];

/// A published crate, as its manifest has it.
struct Crate {
    name: String,
    version: String,
    frameworks: String,
    rust: String,
}

#[test]
fn the_table_of_crates_has_each_version_framework_and_rust() {
    let readme = read("README.md");
    for Crate { name, version, frameworks, rust } in crates() {
        let begin = format!("| [`{name}`]({name}) |");
        let and = if frameworks.is_empty() { "" } else { ", " };
        let end = format!("| {version} for {frameworks}{and}Rust {rust} |");
        let row = readme.lines().find(|line| line.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("README.md has no row of {name}"));
        assert!(row.ends_with(&end), "README.md: {row}\nshould end with {end}");
    }
}

/// A number after a framework's name on the first page is its version.
#[test]
fn the_first_page_has_no_other_version_of_a_framework() {
    let (readme, root) = (read("README.md"), read("Cargo.toml"));
    for (package, prose) in PUBLIC {
        let wanted = compatible(number(value(&root, package).unwrap()));
        for (at, _) in readme.match_indices(&format!("{prose} ")) {
            let next = readme[at + prose.len() + 1..].split([',', ' ', '\n', '|']).next().unwrap();
            let is_version = next.starts_with(|character: char| character.is_ascii_digit());
            assert!(!is_version || next == wanted, "README.md: {prose} {next} should be {wanted}");
        }
    }
}

#[test]
fn each_readme_has_its_crates_version_framework_and_rust() {
    for Crate { name, version, frameworks, rust } in crates() {
        let and = if frameworks.is_empty() { "" } else { " and " };
        let wanted = format!("`{name}` {version} is for {frameworks}{and}Rust {rust} or newer.");
        let readme = read(&format!("{name}/README.md"));
        let text = readme.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&wanted), "{name}/README.md should say: {wanted}");
        assert!(text.contains("not an official product of Bondify"), "{name}/README.md");
    }
}

/// The features of adapters that re-export crates, and the crates.
const RE_EXPORTED: [(&str, &str); 4] = [
    ("client", "bondify-client"),
    ("login", "bondify-login"),
    ("mysql`, `postgres`, `sqlite", "bondify-sqlx"),
    ("redis", "bondify-redis"),
];

#[test]
fn each_feature_that_re_exports_a_crate_names_its_rust() {
    let crates = crates();
    for adapter in ["actix", "axum", "rocket", "tower", "warp"] {
        let readme = read(&format!("bondify-{adapter}/README.md"));
        for (feature, re_exported) in RE_EXPORTED {
            let begin = format!("| `{feature}` |");
            let Some(row) = readme.lines().find(|line| line.starts_with(&begin)) else {
                assert_eq!((adapter, feature), ("tower", "login"), "no row of the feature");
                continue;
            };
            let rust = &crates.iter().find(|it| it.name == re_exported).unwrap().rust;
            assert!(
                row.ends_with(&format!("; Rust {rust} |")),
                "bondify-{adapter}/README.md: {row}"
            );
        }
    }
}

/// Other crates take the version that they are tested with.
#[test]
fn the_root_manifest_requires_each_crates_own_version() {
    let root = read("Cargo.toml");
    for Crate { name, .. } in crates() {
        let Some(required) = value(&root, &name) else { continue };
        let own = read(&format!("{name}/Cargo.toml"));
        assert_eq!(number(required), number(value(&own, "version").unwrap()), "{name}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn crates() -> Vec<Crate> {
    let root = read("Cargo.toml");
    let names =
        fs::read_dir(ROOT).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("bondify-")).collect();
    names.sort();
    names.retain(|name| !read(&format!("{name}/Cargo.toml")).contains("publish = false"));
    assert_eq!(names.len(), 13, "{names:?}");
    names.into_iter().map(|name| crate_of(name, &root)).collect()
}

fn crate_of(name: String, root: &str) -> Crate {
    let manifest = read(&format!("{name}/Cargo.toml"));
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let is_dependency =
        |name: &str| dependencies.lines().any(|line| line.split(['.', ' ']).next() == Some(name));
    let frameworks = PUBLIC
        .iter()
        .filter(|(package, _)| !PRIVATE.contains(&&*name) && is_dependency(package))
        .map(|(package, prose)| {
            format!("{prose} {}", compatible(number(value(root, package).unwrap())))
        })
        .collect::<Vec<_>>()
        .join(", ");
    let rust = value(&manifest, "rust-version").or(value(root, "rust-version")).unwrap();
    let version = compatible(number(value(&manifest, "version").unwrap()));
    Crate { version, frameworks, rust: number(rust).to_owned(), name }
}

/// The text after `KEY = ` in a manifest.
fn value<'a>(manifest: &'a str, key: &str) -> Option<&'a str> {
    manifest.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

/// The first text in quotes: a version.
fn number(value: &str) -> &str {
    value.split('"').nth(1).unwrap()
}

/// The part of a version that compatible ones share.
fn compatible(version: &str) -> String {
    let parts: Vec<_> = version.split('.').take(2).collect();
    if parts[0] == "0" { parts.join(".") } else { parts[0].to_owned() }
}
