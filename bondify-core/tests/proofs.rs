//! Proofs, with tokens of other JWT libraries and with dedupe stores.
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]
#![cfg(feature = "proof")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bondify_core::{
    Bondify, Claimed, DedupeStore, Event, EventKey, LeaseToken, MemoryStore, Proof, ProofError,
    ProofVerifier, Reply, Secret, StoreError, Verifier, async_trait,
};
use bondify_testkit::{Payload, ProbeStore};
use futures_util::{FutureExt, future::join_all};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The code of the reply to a request with the proof.
fn code(verified: Result<Proof, ProofError>) -> &'static str {
    verified.map_or_else(|error| Reply::from(error).code(), |_| "ok")
}

/// Tokens by npm's jsonwebtoken.
const VECTORS: &str = include_str!("proofs/vectors.json");
/// Tokens by PyJWT.
const PYJWT_VECTORS: &str = include_str!("proofs/vectors-pyjwt.json");

fn vectors(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn verifier_of(vectors: &Value) -> ProofVerifier {
    let secret = Secret::new(vectors["secret"].as_str().unwrap()).unwrap();
    ProofVerifier::new(secret).project(vectors["project"].as_str().unwrap())
}

/// Checks the result of each token. There must be more than `count`.
fn judge(vectors: &Value, count: usize) {
    let list = vectors["vectors"].as_array().unwrap();
    assert!(list.len() > count, "only {} vectors", list.len());
    for vector in list {
        let now = vector["now"].as_u64().unwrap();
        let proofs = verifier_of(vectors).clock(move || at(now));
        let verified = proofs.verify(vector["token"].as_str().unwrap());
        assert_eq!(code(verified), vector["expected"], "{}", vector["name"]);
    }
}

#[test]
fn tokens_of_npm_jsonwebtoken_are_judged_as_expected() {
    judge(&vectors(VECTORS), 50);
}

#[test]
fn tokens_of_pyjwt_are_judged_as_expected() {
    judge(&vectors(PYJWT_VECTORS), 20);
}

#[test]
fn times_may_have_fractions_and_a_proof_is_not_valid_before_its_nbf() {
    const NOW: u64 = 1_700_000_000;
    let judged = |claim: &str, time: Value| {
        let claims = Payload::proof().field("iat", NOW).field("exp", NOW + 300);
        let token = claims.field(claim, time).proof_signed_with(&secret());
        let proofs = ProofVerifier::new(secret()).clock(|| at(NOW)).leeway(Duration::ZERO);
        code(proofs.verify(&token))
    };
    for (claim, time, expected) in [
        ("exp", json!(1_700_000_000.25), "ok"),
        ("exp", json!(1_699_999_999.75), "TOKEN_EXPIRED"),
        ("iat", json!(1_699_999_999.75), "ok"),
        ("iat", json!(1_700_000_000.25), "INVALID_TOKEN"),
        ("nbf", json!(1_700_000_000), "ok"),
        ("nbf", json!(1_699_999_999.75), "ok"),
        ("nbf", json!(1_700_000_000.25), "INVALID_TOKEN"),
        ("nbf", json!(1_700_000_001), "INVALID_TOKEN"),
        ("nbf", json!(null), "ok"),
        ("nbf", json!("1700000000"), "MISSING_FIELDS"),
        ("exp", json!("1700000300"), "MISSING_FIELDS"),
        ("exp", json!(-0.5), "MISSING_FIELDS"),
        ("exp", json!(1e300), "MISSING_FIELDS"),
    ] {
        assert_eq!(judged(claim, time.clone()), expected, "{claim} {time}");
    }
}

#[test]
fn a_numeric_telegram_id_is_exact() {
    let huge = 9_007_199_254_740_993_u64; // A float cannot represent it.
    let verify = |id: Value| {
        let token = Payload::proof().field("telegram_id", id).proof_signed_with(&secret());
        ProofVerifier::new(secret()).verify(&token)
    };
    assert_eq!(verify(huge.into()).unwrap().user().id().as_str(), huge.to_string());
    for other in [json!(7.5), json!(7.0), json!(-7), json!([7]), json!(true), json!("")] {
        assert!(matches!(verify(other), Err(ProofError::MissingField { name: "telegram_id", .. })));
    }
}

#[test]
fn an_event_of_a_proof_without_confirmed_at_has_its_issue_time() {
    let claims = Payload::proof().without("confirmed_at").telegram_phone("+15550001234");
    let secret = secret().named("2026-11");
    let token = claims.proof_signed_with(&secret);
    let proof = ProofVerifier::new(secret).verify(&token).unwrap();
    let event = Event::from(&proof);
    assert_eq!(event.signed_by(), Some("2026-11"));
    assert_eq!(proof.signed_by(), Some("2026-11"));
    assert_eq!(proof.user().phone(), Some("+15550001234"));
    assert_eq!(event.occurred_at(), Some(proof.issued_at()));
    assert_eq!(event.user(), Some(proof.user()));
}

#[test]
fn every_claim_is_read() {
    let vectors = vectors(VECTORS);
    let proofs = verifier_of(&vectors).clock(|| at(1_700_000_010));
    let proof = proofs.verify(vectors["vectors"][0]["token"].as_str().unwrap()).unwrap();
    assert_eq!(proof.user().id().as_str(), "7123456789");
    assert_eq!(proof.user().name(), "Ada Lovelace");
    assert_eq!(proof.user().username(), Some("ada"));
    assert_eq!(proof.user().phone(), Some("+15550001234"));
    assert_eq!(proof.project_id(), "proj_vectors");
    assert_eq!(proof.session_token(), "sess_vectors");
    assert_eq!(proof.confirmed_at(), Some(at(1_700_000_000) - Duration::from_millis(123)));
    assert_eq!(proof.issued_at(), at(1_700_000_000));
    assert_eq!(proof.expires_at(), at(1_700_000_300));
}

#[test]
fn nothing_personal_is_shown() {
    let token = Payload::proof()
        .telegram_id("424242")
        .telegram_name("Hush Name")
        .telegram_username(Some("hushed"))
        .telegram_phone("+49hush")
        .session_token("sess_hush")
        .proof_signed_with(&secret());
    let proofs = ProofVerifier::new(secret());
    let shown = format!("{:#?} {proofs:?}", proofs.verify(&token).unwrap());
    for hidden in ["hush", "Hush", "424242", "whsec"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn sign_proof_makes_a_jwt() {
    let token = Payload::proof().field("exp", 4_000_000_000_u64).proof_signed_with(&secret());
    assert_eq!(code(ProofVerifier::new(secret()).verify(&token)), "ok");
    assert!(token.starts_with("eyJ"), "{token}");
}

// One secret signs both, so a captured delivery must not be usable as a proof, nor the reverse.
#[test]
fn a_delivery_is_not_accepted_as_a_proof_nor_a_proof_as_a_delivery() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let delivery = Payload::confirmed().signed_with(&secret());
    let body = std::str::from_utf8(delivery.body()).unwrap();
    let signature = const_hex::decode_to_array::<_, 32>(delivery.signature()).unwrap();
    let token = format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(code(ProofVerifier::new(secret()).verify(&token)), "INVALID_TOKEN");

    let token = Payload::proof().field("event", "auth.confirmed").proof_signed_with(&secret());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature: [u8; 32] = URL_SAFE_NO_PAD.decode(signature).unwrap().try_into().unwrap();
    let signature = const_hex::Buffer::<32>::new().format(&signature).to_owned();
    let verified = Verifier::new(secret()).verify(signed.to_owned(), signature);
    assert_eq!(Reply::from(verified.unwrap_err()), Reply::ParseError);
}

#[test]
fn leeway_applies_to_expiry_and_issue_time() {
    let token = Payload::proof().field("iat", 1000).field("exp", 1300);
    let token = token.proof_signed_with(&secret());
    let judge = |leeway, now| {
        let proofs = ProofVerifier::new(secret()).leeway(Duration::from_secs(leeway));
        code(proofs.clock(move || at(now)).verify(&token))
    };
    assert_eq!([judge(0, 1000), judge(0, 1299), judge(0, 1300)], ["ok", "ok", "TOKEN_EXPIRED"]);
    assert_eq!([judge(0, 999), judge(60, 940)], ["INVALID_TOKEN", "ok"]);
    assert_eq!([judge(60, 1359), judge(60, 1360)], ["ok", "TOKEN_EXPIRED"]);
    assert_eq!(judge(u64::MAX, 1_000_000), "TOKEN_EXPIRED", "a leeway without end adds nothing");
}

#[test]
fn times_out_of_range_are_refused_without_a_panic() {
    for exp in ["1e300", "-1", "18446744073709551615", "1.5", "\"1\"", "null", "1e-400"] {
        let exp: Value = serde_json::from_str(exp).unwrap();
        let token = Payload::proof().field("exp", exp.clone()).proof_signed_with(&secret());
        assert_ne!(code(ProofVerifier::new(secret()).verify(&token)), "ok", "{exp}");
    }
}

#[tokio::test]
async fn rotation_is_shared_with_the_webhooks() {
    let new = Secret::new("whsec_new").unwrap();
    let bondify = Bondify::builder(new.clone()).old_secret(secret()).build().unwrap();
    let proofs = bondify.proofs();
    let judge = |by: &Secret| code(proofs.verify(&Payload::proof().proof_signed_with(by)));
    assert_eq!([judge(&secret()), judge(&new)], ["ok", "ok"]);
    bondify.rotate(new.clone(), []);
    assert_eq!([judge(&secret()), judge(&new)], ["INVALID_SIGNATURE", "ok"]);
    proofs.rotate(secret(), []);
    let refused = Payload::confirmed().signed_with(&new).receive_by(&bondify).await.unwrap_err();
    assert_eq!(refused, Reply::InvalidSignature);
}

#[tokio::test]
async fn a_proof_of_single_use_is_accepted_once() {
    let proofs = ProofVerifier::new(secret()).single_use(MemoryStore::new());
    let token = Payload::proof().session_token("sess_once").proof_signed_with(&secret());
    assert_eq!(code(proofs.verify_once(&token).await), "ok");
    assert_eq!(code(proofs.verify_once(&token).await), "TOKEN_USED");
    let again = Payload::proof().session_token("sess_once").field("jti", 2);
    let again = again.proof_signed_with(&secret());
    assert_eq!(
        code(proofs.verify_once(&again).await),
        "TOKEN_USED",
        "another proof of the session"
    );
    let other = Payload::proof().session_token("sess_once").field("project_id", "proj_2");
    let other = other.proof_signed_with(&secret());
    assert_eq!(code(proofs.verify_once(&other).await), "ok", "a session of another project");
    assert_eq!(code(proofs.verify(&token)), "ok", "verifying uses nothing up");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_concurrent_uses_succeeds() {
    let proofs = ProofVerifier::new(secret()).single_use(MemoryStore::new());
    let token = Arc::new(Payload::proof().proof_signed_with(&secret()));
    let uses = (0..100).map(|_| {
        let (proofs, token) = (proofs.clone(), token.clone());
        tokio::spawn(async move { code(proofs.verify_once(&token).await) })
    });
    let codes: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(codes.iter().filter(|code| **code == "ok").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "TOKEN_USED").count(), 99, "{codes:?}");
}

#[tokio::test]
async fn a_refused_proof_is_not_used_up() {
    let store = ProbeStore::new(MemoryStore::new());
    let proofs = ProofVerifier::new(secret()).project("proj_test").single_use(store.clone());
    for token in [
        "sess_abc".to_owned(),
        Payload::proof().proof_signed_with(&Secret::new("whsec_other").unwrap()),
        Payload::proof().field("project_id", "proj_2").proof_signed_with(&secret()),
        Payload::proof().field("exp", 1).proof_signed_with(&secret()),
    ] {
        assert!(proofs.verify_once(&token).await.is_err());
    }
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn a_proof_is_refused_while_the_store_fails() {
    let store = ProbeStore::new(MemoryStore::new());
    let proofs = ProofVerifier::new(secret()).single_use(store.clone());
    let token = Payload::proof().proof_signed_with(&secret());
    store.set_down(true);
    let refused = proofs.verify_once(&token).await.unwrap_err();
    assert!(matches!(refused, ProofError::Store(_)), "{refused:?}");
    assert_eq!(Reply::from(refused), Reply::StoreUnavailable);
}

#[tokio::test]
async fn a_proof_and_its_event_can_share_a_store() {
    let store = Arc::new(MemoryStore::new());
    let builder = Bondify::builder(secret()).namespace("proj_test").store(store.clone());
    let bondify = builder.build().unwrap();
    let proofs = bondify.proofs().single_use(store);
    let delivery = Payload::confirmed().session_token("sess_both").signed_with(&secret());
    let token = Payload::proof().session_token("sess_both").proof_signed_with(&secret());
    let delivery = delivery.receive_by(&bondify).await;
    assert!(delivery.is_ok());
    assert_eq!(code(proofs.verify_once(&token).await), "ok");
}

#[tokio::test]
async fn an_authentication_by_another_verifier_is_not_reused() {
    let lenient = ProofVerifier::new(secret());
    let strict = lenient.clone().project("proj_other");
    let mut headers = HeaderMap::new();
    let token = Payload::proof().proof_signed_with(&secret());
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let found = lenient.authenticate(&headers, None);
    let nothing = HeaderMap::new();
    assert!(lenient.authenticate(&nothing, Some(&found)).await.is_ok());
    let refused = strict.authenticate(&headers, Some(&found)).await.unwrap_err();
    assert_eq!(refused, Reply::WrongProject);
}

/// A store that grants every claim and records its duration.
struct Grants(mpsc::UnboundedSender<Duration>);

#[async_trait]
impl DedupeStore for Grants {
    async fn claim(&self, _: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        self.0.send(lease).map_err(StoreError::new)?;
        Ok(Claimed::Acquired(LeaseToken::new(1)))
    }

    async fn renew(&self, _: &EventKey, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Err(StoreError::new("nothing to renew"))
    }

    async fn complete(
        &self,
        _: &EventKey,
        _: &LeaseToken,
        _: Duration,
    ) -> Result<bool, StoreError> {
        Err(StoreError::new("nothing to complete"))
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        Err(StoreError::new("nothing to release"))
    }
}

#[tokio::test]
async fn a_use_is_remembered_for_as_long_as_the_proof_can_be_used() {
    let (grants, mut granted) = mpsc::unbounded_channel();
    let leeway = Duration::from_secs(30);
    let proofs = ProofVerifier::new(secret()).leeway(leeway).single_use(Grants(grants));
    let now = 1_700_000_000;
    let proofs = proofs.clock(move || at(now));
    for (lifetime, least) in [(300, 330), (1, 31), (1_000 * 365 * 24 * 3600, 1_000_000)] {
        let token = Payload::proof().field("iat", now).field("exp", now + lifetime);
        assert_eq!(code(proofs.verify_once(&token.proof_signed_with(&secret())).await), "ok");
        assert!(granted.recv().await.unwrap() > Duration::from_secs(least));
    }
}

#[tokio::test]
async fn an_old_secret_of_proofs_is_not_accepted_for_webhooks() {
    let old = Secret::new("whsec_old").unwrap();
    let bondify = Bondify::builder(secret()).build().unwrap();
    let (alone, both) = (bondify.proofs(), bondify.proofs().old_secret(old.clone()));
    let token = Payload::proof().proof_signed_with(&old);
    assert_eq!(
        [code(alone.verify(&token)), code(both.verify(&token))],
        ["INVALID_SIGNATURE", "ok"]
    );
    let delivery = Payload::confirmed().signed_with(&old);
    assert_eq!(delivery.receive_by(&bondify).await.unwrap_err(), Reply::InvalidSignature);
}

/// A store that panics on every claim.
struct Panics;

#[async_trait]
impl DedupeStore for Panics {
    async fn claim(&self, _: &EventKey, _: Duration) -> Result<Claimed, StoreError> {
        panic!("as a bug in a store does")
    }

    async fn renew(&self, _: &EventKey, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn complete(
        &self,
        _: &EventKey,
        _: &LeaseToken,
        _: Duration,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn release(&self, _: &EventKey, _: &LeaseToken) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[test]
fn a_store_that_panics_and_a_missing_runtime_are_errors() {
    let proofs = ProofVerifier::new(secret()).single_use(Panics);
    let token = Payload::proof().proof_signed_with(&secret());
    let verify = || proofs.verify_once(&token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for refused in [runtime.block_on(verify()), verify().now_or_never().unwrap()] {
        assert_eq!(code(refused), "STORE_UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_cookie_that_is_not_utf8_does_not_hide_the_proof() {
    let token = Payload::proof().proof_signed_with(&secret());
    let cookies = [&b"name=J\xfcrgen; bondify_proof="[..], token.as_bytes()].concat();
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_bytes(&cookies).unwrap());
    assert!(ProofVerifier::new(secret()).authenticate(&headers, None).await.is_ok());
}
