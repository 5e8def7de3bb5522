//! The hints that the compiler gives for values of a wrong type.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn a_url_or_a_reference_is_no_store() {
    let errors = errors_of(
        "store",
        "pub fn set(builder: bondify_core::Builder, store: &bondify_core::MemoryStore) {
             let _ = builder.store(\"redis://127.0.0.1\").store(store);
         }",
    );
    assert_contains(&errors, "`&str` is not a dedupe store");
    assert_contains(&errors, "MemoryStore` is not a dedupe store");
    assert_contains(&errors, "pass a store by value");
    assert_contains(&errors, "`RedisStore::open(client)`");
}

#[test]
fn a_shared_value_is_no_wakeups() {
    let errors = errors_of(
        "wakeups",
        "use std::sync::Arc;
         pub fn set(login: bondify_login::LoginBuilder, shared: Arc<bondify_core::MemoryWakeups>) {
             let _ = login.wakeups(shared);
         }",
    );
    assert_contains(&errors, "does not wake other instances");
    assert_contains(&errors, "pass wake-ups by value");
}

#[test]
fn a_request_is_not_its_head() {
    let errors = errors_of(
        "head",
        "pub fn head(request: &String, proofs: &bondify_core::ProofVerifier) {
             let _ = bondify_core::adapter::Head::of(request);
             let _ = proofs.authenticate(request, None);
         }",
    );
    assert_contains(&errors, "`String` is not the head of a request");
    assert_contains(&errors, "let (parts, body) = request.into_parts();");
    assert_contains(&errors, "`String` is not the headers of a request");
}

#[test]
fn a_url_is_no_client_of_redis() {
    let errors = errors_of(
        "redis",
        "pub fn open() {
             let _ = bondify_redis::RedisStore::open(\"redis://127.0.0.1\");
         }",
    );
    assert_contains(&errors, "`&str` is not a client of Redis");
    assert_contains(&errors, "`redis::Client::open(url)?`");
}

fn assert_contains(errors: &str, hint: &str) {
    assert!(errors.contains(hint), "without {hint:?}:\n{errors}");
}

/// Compiles a wrong program with the libraries that this test is linked to.
fn errors_of(name: &str, program: &str) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hint_{name}.rs"));
    fs::write(&file, program).unwrap();
    let libraries = env::current_exe().unwrap().parent().unwrap().to_owned();
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]);
    rustc.arg(env!("CARGO_TARGET_TMPDIR")).arg(&file);
    rustc.arg(format!("-Ldependency={}", libraries.display()));
    for library in ["bondify_core", "bondify_login", "bondify_redis"] {
        if program.contains(library) {
            rustc.arg(format!("--extern={library}={}", newest(&libraries, library).display()));
        }
    }
    let output = rustc.output().unwrap();
    assert!(!output.status.success(), "the program compiles");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns the library that was built last. Cargo keeps those of other features and of older sources.
fn newest(libraries: &Path, name: &str) -> PathBuf {
    let files = fs::read_dir(libraries).unwrap().map(|file| file.unwrap().path());
    let is_library = |file: &PathBuf| {
        let name_of = file.file_name().unwrap().to_string_lossy();
        name_of.starts_with(&format!("lib{name}-")) && name_of.ends_with(".rlib")
    };
    let built = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    files.filter(is_library).max_by_key(built).unwrap()
}
