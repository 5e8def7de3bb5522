//! The signature check against bare hashing, and check and parse against a naive composition of
//! common crates.

use std::hint::black_box;

use bondify_core::{Event, Secret, Signature, Verifier};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Sha256, block_api::compress256};

use crate::{
    events::{SECRET, USUAL_SIZE, body, secret, signature},
    report::{Report, Row, Unit},
    rounds::{Plan, Spread, median},
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let sizes = [(USUAL_SIZE, 1.45), (16 * 1024, 1.03), (256 * 1024, 1.03)];
    let mut rows: Vec<_> =
        sizes.into_iter().map(|(size, goal)| check(plan, size).at_most(goal)).collect();
    rows.push(check_and_parse(plan).at_most(0.5));
    rows.push(allocations().at_most(0.0));
    report.suite("verify", &rows);
}

/// Signature check against bare SHA-256.
fn check(plan: &Plan, size: usize) -> Row {
    let (secret, body) = (secret(), body(size, 1));
    let signature = signature(&body);
    let check = || checked(&secret, black_box(&body), black_box(&signature));
    let blocks = blocks_of_hmac(size);
    let compress = || {
        let mut state = [0; 8];
        compress256(&mut state, black_box(&blocks));
        state
    };
    let samples = plan.time(&mut [plan.turn(check), plan.turn(compress)]);
    let measure = format!("signature check of {} / bare SHA-256 compressions", bytes(size));
    Row::ratio(measure, &samples[0], &samples[1]).detail(nanoseconds(&samples))
}

pub(crate) fn checked(secret: &Secret, body: &[u8], signature: &str) {
    let signature = Signature::parse(signature.as_bytes()).expect("a signature");
    assert!(secret.verifies(body, &signature));
}

/// The blocks that a keyed HMAC of `size` bytes compresses: the message with its padding, and
/// the inner hash.
fn blocks_of_hmac(size: usize) -> Vec<[u8; 64]> {
    const PADDING: usize = 9;
    vec![[0x5a; 64]; (size + PADDING).div_ceil(64) + 1]
}

/// Check and parse against the naive composition.
fn check_and_parse(plan: &Plan) -> Row {
    let (verifier, body) = (Verifier::new(secret()), body(USUAL_SIZE, 1));
    let signature = signature(&body);
    let ours = || verified(&verifier, black_box(&body), black_box(&signature));
    let naive = || naive(black_box(&body), black_box(&signature));
    let samples = plan.time(&mut [plan.turn(ours), plan.turn(naive)]);
    Row::ratio("check and parse / naive composition", &samples[0], &samples[1])
        .detail(nanoseconds(&samples))
}

pub(crate) fn verified(verifier: &Verifier, body: &Bytes, signature: &str) -> Event {
    verifier.verify(body.clone(), signature).expect("a signed event")
}

/// A naive composition: keyed in each call, digits decoded into a vector, and a tagged enum of
/// serde.
fn naive(body: &[u8], signature: &str) -> Tagged {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body);
    mac.verify_slice(&hex::decode(signature).expect("hex")).expect("signed");
    serde_json::from_slice(body).expect("an event")
}

#[derive(Deserialize)]
#[serde(tag = "event")]
#[expect(dead_code, reason = "it is created, not used")]
enum Tagged {
    #[serde(rename = "auth.confirmed")]
    Confirmed {
        session_token: String,
        telegram_id: String,
        telegram_name: String,
        telegram_username: Option<String>,
        telegram_phone: Option<String>,
        confirmed_at: u64,
    },
    #[serde(rename = "auth.cancelled")]
    Cancelled { session_token: String, cancelled_at: u64 },
}

fn allocations() -> Row {
    let (verifier, body) = (Verifier::new(secret()), body(USUAL_SIZE, 1));
    let signature = signature(&body);
    // A clone makes the body shared, as it is when it comes from a connection's buffer.
    let _connection = body.clone();
    let ours = allocation_counter::measure(|| {
        black_box(verified(&verifier, &body, &signature));
    });
    let naive = allocation_counter::measure(|| {
        black_box(naive(&body, &signature));
    });
    let figure = Spread::exactly(ours.count_total as f64);
    Row::new("heap allocations of check and parse", Unit::Allocations, figure)
        .detail(format!("the naive composition: {}", naive.count_total))
}

fn bytes(size: usize) -> String {
    if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) }
}

/// The medians of two variants.
pub(crate) fn nanoseconds(samples: &[Vec<f64>]) -> String {
    format!("{:.0} ns / {:.0} ns", median(&samples[0]), median(&samples[1]))
}
