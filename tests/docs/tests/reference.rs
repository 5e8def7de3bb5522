//! The limits on the guide's reference page, compared with the code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bondify_client::{ClientBuilder, Session};
use bondify_core::{Builder, MemoryStore, ProofVerifier, Reply, Verifier};
use bondify_login::LoginBuilder;

const PAGE: &str = include_str!("../../../guide/reference.md");

#[test]
fn the_reference_has_the_default_of_each_limit() {
    let poll = seconds(ClientBuilder::DEFAULT_POLL_INTERVAL);
    let poll_with_webhooks = seconds(LoginBuilder::WEBHOOK_POLL_INTERVAL);
    let capacity = MemoryStore::DEFAULT_CAPACITY / 1_000_000;
    let limits = [
        ("size of a body", format!("{} KiB", Builder::DEFAULT_BODY_LIMIT / 1024)),
        ("age of an event", format!("{} hours", hours(Verifier::DEFAULT_TOLERANCE))),
        ("time of an event in the future", format!("{} minutes", minutes(Verifier::SKEW))),
        ("wait for another delivery", seconds(Builder::DEFAULT_WAIT)),
        ("lease of an event", seconds(Builder::DEFAULT_LEASE)),
        (
            "record of a completed event",
            format!(
                "{} hours and {} minutes",
                hours(Verifier::DEFAULT_TOLERANCE),
                minutes(Verifier::SKEW)
            ),
        ),
        ("`Retry-After` of 409 and 503", format!("{} s", retry_after())),
        ("events that the store in memory remembers", format!("{capacity} 000 000")),
        ("clock difference for proofs", seconds(ProofVerifier::DEFAULT_LEEWAY)),
        ("poll interval of a login", format!("{poll}; {poll_with_webhooks} with webhooks")),
        ("time to confirm a login", format!("{} minutes", minutes(Session::DEFAULT_LIFETIME))),
    ];
    let table = PAGE.split("## Limits").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), limits.len(), "{rows:#?}");
    for (row, (limit, default)) in rows.into_iter().zip(limits) {
        let [name, value] = [1, 2].map(|cell| row.split('|').nth(cell).unwrap().trim());
        assert!(
            name.starts_with(limit) && value.starts_with(&default),
            "{row}: {limit} is {default}"
        );
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

fn minutes(duration: Duration) -> u64 {
    duration.as_secs() / 60
}

fn hours(duration: Duration) -> u64 {
    minutes(duration) / 60
}

fn retry_after() -> &'static str {
    let headers = Reply::StoreUnavailable.headers();
    headers.iter().find(|(name, _)| *name == "retry-after").unwrap().1
}
