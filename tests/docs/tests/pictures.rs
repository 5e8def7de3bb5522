//! The pictures of the first page and the guide show the product as it is.

use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

use tempfile::TempDir;

#[allow(dead_code, reason = "its `main` is the command")]
#[path = "../examples/pictures.rs"]
mod command;

/// The names of the files in a folder, with the texts of the pictures.
fn files(folder: &Path) -> io::Result<BTreeMap<OsString, String>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let is_text = file.path().extension().is_some_and(|extension| extension == "txt");
        let text = if is_text { fs::read_to_string(file.path())? } else { String::new() };
        files.insert(file.file_name(), text);
    }
    Ok(files)
}

/// If this fails, `cargo run -p docs-tests --example pictures` takes them again.
#[tokio::test]
async fn each_picture_shows_what_the_product_shows_now() {
    let taken = TempDir::new().unwrap();
    if !command::take(taken.path()).await {
        return;
    }
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guide/images");
    assert_eq!(files(Path::new(images)).unwrap(), files(taken.path()).unwrap());
}
