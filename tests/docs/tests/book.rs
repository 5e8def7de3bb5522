//! The contents of the guide: of the book in `SUMMARY.md`, and of the folder on GitHub in `README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guide");

#[test]
fn the_contents_list_each_page_once_by_its_heading() {
    let book = read("SUMMARY.md");
    let folder = read("README.md");
    for page in pages() {
        let text = read(&page);
        let heading = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let link = format!("[{heading}]({page})");
        assert_eq!(book.matches(&link).count(), 1, "SUMMARY.md should list {link} once");
        assert_eq!(book.matches(&format!("({page})")).count(), 1, "SUMMARY.md: {page} twice");
        if page != "README.md" {
            assert_eq!(folder.matches(&link).count(), 1, "README.md should list {link} once");
        }
    }
}

fn pages() -> Vec<String> {
    let entries = fs::read_dir(GUIDE).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".md") && name != "SUMMARY.md");
    assert!(names.len() > 15, "{names:?}");
    names
}

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(GUIDE).join(page)).unwrap()
}
