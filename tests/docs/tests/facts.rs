//! The times and sizes in the guide and the READMEs, compared with the constants of the code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, fs, path::PathBuf};

use docs_tests::{Constants, Quantity, Stated};

/// A constant: its crate and name, and the words of which one is in each text that states its value.
const OURS: [(&str, &str, &[&str]); 22] = [
    (
        "bondify-core",
        "DELIVERY_TIMEOUT",
        &[
            "Bondify's 10",
            "Bondify waits for",
            "Bondify retries",
            "for Bondify",
            "For Bondify",
            "slower than",
        ],
    ),
    ("bondify-core", "DEFAULT_BODY_LIMIT", &["body"]),
    ("bondify-core", "DEFAULT_TOLERANCE", &["tolerance", "older than", "age of an event"]),
    (
        "bondify-core",
        "SKEW",
        &["in the future", "ahead", "retention", "completed event", "clocks within"],
    ),
    ("bondify-core", "DEFAULT_WAIT", &["wait", "`IN_FLIGHT`"]),
    ("bondify-core", "DEFAULT_LEASE", &["lease"]),
    ("bondify-core", "DEFAULT_LEEWAY", &["leeway", "`exp`", "for proofs"]),
    (
        "bondify-client",
        "DEFAULT_POLL_INTERVAL",
        &["poll", "asks Bondify every", "session's status every"],
    ),
    ("bondify-client", "DEFAULT_LIFETIME", &["session", "ogins in progress", "confirm a login"]),
    ("bondify-client", "DEFAULT_EVERY", &["at the start"]),
    (
        "bondify-client",
        "DEFAULT_MIN_AGE",
        &["`CatchUp`", "cancellation", "`--min-age`", "minimum age", "(default)"],
    ),
    ("bondify-login", "WEBHOOK_POLL_INTERVAL", &["webhook"]),
    ("bondify-login", "DEFAULT_KEEP_ALIVE", &["heartbeat"]),
    ("bondify-login", "KEEP_ANSWER_FOR", &["answer", "same response"]),
    ("bondify-login", "KNOW_FINISHED_FOR", &["`also_accept_cookie_key`"]),
    ("bondify-login", "MAX_RETURN_TO_BYTES", &["begins with one"]),
    ("bondify-rocket", "DEFAULT_DRAIN_TIMEOUT", &["the mount", "The mount"]),
    ("bondify-redis", "TIMEOUT", &["call's time-out"]),
    ("bondify-emulator", "STALE_BY", &["`stale-timestamp`"]),
    ("bondify-cli", "TOLERATED", &["clock differs", "clock that differs"]),
    ("bondify-cli", "SLOW", &["takes longer"]),
    ("bondify-emulator", "LIFETIME", &["It is valid for"]),
];

/// Facts of others: of measurements, other programs, and examples.
const OTHERS: [(Quantity, &str); 29] = [
    (Quantity::Time(3_000), "Lambda's default"),
    (Quantity::Time(15_000), "Lambda's default"),
    (Quantity::Time(10_000), "docker stop"),
    (Quantity::Time(30_000), "Kubernetes"),
    (Quantity::Time(90_000), "systemd"),
    (Quantity::Time(60_000), "client_header_timeout"),
    (Quantity::Time(30_000), "`shutdown_timeout`"),
    (Quantity::Time(5_000), "`client_request_timeout`"),
    (Quantity::Time(5_000), "shutdown.grace"),
    (Quantity::Time(500), "`/ready`"),
    (Quantity::Time(2_000), "innodb_lock_wait_timeout"),
    (Quantity::Time(5_000), "95 % quantile"),
    (Quantity::Time(500), "95 % quantile"),
    (Quantity::Time(600_000), "signatures are refused"),
    (Quantity::Time(900_000), "completions fail"),
    (Quantity::Time(300_000), "2 cores"),
    (Quantity::Time(120_000), "2 cores"),
    (Quantity::Time(5_000), "`Retry-After`"), // tests/reference.rs compares it
    (Quantity::Time(5_000), "it reloads"),    // the sign-in page without its script
    (Quantity::Size(5), "cookie key"),
    (Quantity::Size(32), "random bytes"),
    (Quantity::Size(65_536), "of the body, to"),
    (Quantity::Time(1_000), "`--retry-base DURATION`"), // options of bondify-cli
    (Quantity::Time(10_000), "`--timeout DURATION`"),
    (Quantity::Size(30), "space for each event"), // BENCHMARKS.md
    (Quantity::Size(65), "space for each event"),
    (Quantity::Size(88), "space for each event"),
    (Quantity::Size(107), "space for each event"),
    (Quantity::Size(128), "space for each event"),
];

#[test]
fn each_time_and_size_on_a_page_is_that_of_the_code() {
    let mut crates = HashMap::new();
    let ours: Vec<_> = OURS
        .iter()
        .map(|(package, name, words)| {
            let constants = crates
                .entry(package)
                .or_insert_with(|| Constants::read(&root().join(package).join("src")).unwrap());
            (constants.value(name), *words)
        })
        .collect();
    let is_known = |stated: &Stated| {
        let quantity = stated.quantity;
        let is_stated = |word: &str| stated.block.contains(word);
        ours.iter()
            .any(|(value, words)| *value == quantity && words.iter().any(|word| is_stated(word)))
            || OTHERS.iter().any(|(value, word)| *value == quantity && is_stated(word))
    };
    let mut faults = Vec::new();
    for page in pages() {
        for stated in Stated::all(&fs::read_to_string(root().join(&page)).unwrap()) {
            if !is_known(&stated) {
                faults
                    .push(format!("{page}:{}: {} in: {}", stated.line, stated.text, stated.block));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} facts that no constant has: correct them, or add a row to `OURS` or `OTHERS`:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn the_documentation_of_each_public_time_has_its_value() {
    for package in crates() {
        let constants = Constants::read(&root().join(&package).join("src")).unwrap();
        assert_eq!(constants.without_value_in_docs(), [""; 0], "{package}");
    }
}

/// The names of the published crates.
fn crates() -> impl Iterator<Item = String> {
    let entries = fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("bondify-") && name != "bondify-bench")
}

/// The pages of the guide and the READMEs.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(crates().map(|name| format!("{name}/README.md")));
    for entry in fs::read_dir(root().join("guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("guide/{name}"));
        }
    }
    pages.sort();
    pages
}

fn root() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into()
}
