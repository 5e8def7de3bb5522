//! The checks of `bondify-core` on wasm32-unknown-unknown, which has no clock. `scripts/wasm` runs
//! them under Node: a check that fails, and a call that the target does not have, is a trap.

use std::time::{Duration, SystemTime};

use bondify_core::{Event, Proof, ProofError, ProofVerifier, Secret, Verifier, VerifyError};

const HAS_CLOCK: bool = cfg!(not(all(target_family = "wasm", target_os = "unknown")));

/// The time of the event and the proof: 2023-11-14T22:13:20Z.
const SIGNED_AT: Duration = Duration::from_secs(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() {
    the_systems_clock_is_read_or_missed_without_a_trap();
    an_event_verifies_until_it_is_stale();
    a_proof_verifies_until_it_expires();
    rotation_and_namespaces_need_nothing_of_the_target();
}

fn the_systems_clock_is_read_or_missed_without_a_trap() {
    let expected = if HAS_CLOCK { VerifyError::Stale } else { VerifyError::NoClock };
    assert_eq!(verify(&Verifier::new(secret())), Err(expected));
    let refused = ProofVerifier::new(secret()).verify(&proof());
    if HAS_CLOCK {
        assert!(matches!(refused, Err(ProofError::Expired)));
    } else {
        assert!(matches!(refused, Err(ProofError::NoClock)));
    }
}

fn an_event_verifies_until_it_is_stale() {
    let verify_at = |age| verify(&Verifier::new(secret()).clock(clock(age)));
    let event = verify_at(DAY).expect("an event of that age is accepted");
    assert_eq!(event.user().map(|user| user.id().as_str()), Some("7123456789"));
    assert_eq!(verify_at(DAY + Duration::from_millis(1)), Err(VerifyError::Stale));
    let forged = Verifier::new(secret()).clock(clock(DAY)).verify(body(), "0".repeat(64));
    assert_eq!(forged, Err(VerifyError::InvalidSignature));
}

fn a_proof_verifies_until_it_expires() {
    let verify_at = |age| -> Result<Proof, ProofError> {
        ProofVerifier::new(secret()).project("proj_1").clock(clock(age)).verify(&proof())
    };
    let proof = verify_at(Duration::from_secs(300)).expect("a proof of that age is accepted");
    assert_eq!(Event::from(&proof).key(), verify_body().key());
    assert!(matches!(verify_at(Duration::from_secs(331)), Err(ProofError::Expired)));
}

fn rotation_and_namespaces_need_nothing_of_the_target() {
    let verifier = Verifier::new(other_secret()).clock(clock(DAY));
    assert_eq!(verify(&verifier), Err(VerifyError::InvalidSignature));
    verifier.rotate(other_secret(), [secret().named("old")]);
    let event = verify(&verifier).expect("the old secret is accepted");
    assert_eq!(event.signed_by(), Some("old"));
    assert_ne!(event.key(), event.key().within("shop"));
}

fn verify(verifier: &Verifier) -> Result<Event, VerifyError> {
    verifier.verify(body(), secret().sign(&body()).to_string())
}

fn verify_body() -> Event {
    Event::from_trusted(body()).expect("the body is an event")
}

fn clock(age: Duration) -> impl Fn() -> SystemTime {
    move || SystemTime::UNIX_EPOCH + SIGNED_AT + age
}

fn secret() -> Secret {
    Secret::new("whsec_test").expect("it is a secret")
}

fn other_secret() -> Secret {
    Secret::new("whsec_other").expect("it is a secret")
}

fn body() -> Vec<u8> {
    let body = serde_json::json!({
        "event": "auth.confirmed",
        "session_token": "sess_1",
        "telegram_id": "7123456789",
        "telegram_name": "Ada",
        "confirmed_at": SIGNED_AT.as_millis() as u64,
    });
    body.to_string().into()
}

fn proof() -> String {
    let claims = serde_json::json!({
        "project_id": "proj_1",
        "session_token": "sess_1",
        "telegram_id": "7123456789",
        "telegram_name": "Ada",
        "iat": SIGNED_AT.as_secs(),
        "exp": SIGNED_AT.as_secs() + 300,
    });
    secret().sign_proof(&claims).expect("the claims are JSON")
}

#[test]
fn the_checks_pass_on_the_host() {
    main();
}
