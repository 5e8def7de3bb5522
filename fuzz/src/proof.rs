use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bondify_core::{Event, EventKey, Proof, ProofError, ProofVerifier, Secret};
use serde_json::Value;

use crate::{
    event::{FIELDS, Fields, is_time},
    json::{Whole, mended},
    sha256::{SECRET, hmac},
    shape::{self, Choices},
};

/// The time at which proofs are verified, in Unix seconds.
const NOW: u64 = 1_700_000_010;
const LEEWAY: u64 = 30;
const PROJECT: &str = "proj_vectors";

static PROOFS: LazyLock<ProofVerifier> = LazyLock::new(|| {
    let secret = Secret::new(SECRET).expect("is one");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    ProofVerifier::new(secret).project(PROJECT).clock(move || now)
});

/// Fields of a header.
const HEADER: &[&str] = &["alg", "typ", "crit", "kid", "cty", "jku", "jwk", "zip", "enc", "new"];

const PLAIN_HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;

/// A token is accepted exactly if an independent reader accepts it, with the same claims, and refused for the
/// same reason.
pub fn proof(data: &[u8]) {
    let token = token(data);
    let verified = PROOFS.verify(&token);
    match (verified, expected(&token)) {
        (Ok(proof), Judgement::Claims(claims)) => check(&proof, &claims),
        (Ok(_), Judgement::Refused(code)) => panic!("{code} is accepted: {token}"),
        (Err(ProofError::InvalidSignature), Judgement::Refused("INVALID_SIGNATURE")) => {}
        (Err(error), Judgement::Refused(code)) => assert_eq!(name(&error), code, "{token}"),
        (Err(error), Judgement::Claims(claims)) => check_refusal(&error, &claims),
    }
}

/// A token, in one of several ways:
///
/// - `~`: claims that the bytes choose, signed;
/// - `^`: a header and claims that the bytes choose, signed;
/// - `:`: a header and claims in JSON, with a line end between, signed;
/// - `=`: the bytes to sign;
/// - the token itself.
fn token(data: &[u8]) -> String {
    let Some((way, rest)) = data.split_first() else { return String::new() };
    match way {
        b'~' => {
            let claims = shape::object(&mut Choices(rest), FIELDS);
            signed(PLAIN_HEADER, claims.as_bytes())
        }
        b'^' => {
            let mut choices = Choices(rest);
            let header = shape::object(&mut choices, HEADER);
            signed(header.as_bytes(), shape::object(&mut choices, FIELDS).as_bytes())
        }
        b':' => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            signed(&rest[..end], rest.get(end + 1..).unwrap_or_default())
        }
        b'=' => with_signature(String::from_utf8_lossy(rest).into_owned()),
        _ => String::from_utf8_lossy(data).into_owned(),
    }
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let encode = |part| URL_SAFE_NO_PAD.encode(part);
    with_signature(format!("{}.{}", encode(header), encode(claims)))
}

fn with_signature(text: String) -> String {
    let signature = URL_SAFE_NO_PAD.encode(hmac(text.as_bytes()));
    format!("{text}.{signature}")
}

enum Judgement {
    Refused(&'static str),
    /// The signed claims of a well-formed token, which are not checked yet.
    Claims(Vec<u8>),
}

fn expected(token: &str) -> Judgement {
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return Judgement::Refused("INVALID_TOKEN");
    };
    match base64url(signature) {
        Some(signature) if signature.len() == 32 => {
            if signature != hmac(signed.as_bytes()) {
                return Judgement::Refused("INVALID_SIGNATURE");
            }
        }
        _ => return Judgement::Refused("INVALID_TOKEN"),
    }
    let parts = signed.split_once('.');
    let parts = parts.and_then(|(header, claims)| Some((base64url(header)?, base64url(claims)?)));
    match parts {
        Some((header, claims)) if is_hs256(&header) => Judgement::Claims(claims),
        _ => Judgement::Refused("INVALID_TOKEN"),
    }
}

fn is_hs256(header: &[u8]) -> bool {
    let header: Value = serde_json::from_slice(header).unwrap_or_default();
    header["alg"] == "HS256" && header["crit"].is_null()
}

/// Base64 for URLs, without padding, in its canonical form.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let value = |byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        buffer = buffer << 6 | u32::from(value(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    (bits < 6 && buffer == 0).then_some(bytes)
}

/// The code of the answer to `error`, and the claim that is missing.
fn name(error: &ProofError) -> &'static str {
    match error {
        ProofError::Malformed | ProofError::NotYetValid => "INVALID_TOKEN",
        ProofError::InvalidSignature => "INVALID_SIGNATURE",
        ProofError::MissingField { name, .. } => name,
        ProofError::Expired => "TOKEN_EXPIRED",
        ProofError::WrongProject => "WRONG_PROJECT",
        other => panic!("{other:?}"),
    }
}

/// The error with which claims are refused; `None` if they are accepted, or if rounding decides.
fn refusal(claims: &[u8]) -> Option<&'static str> {
    let Some(fields) = Fields::read(claims) else { return Some("INVALID_TOKEN") };
    let is_missing = |name: &&str| match *name {
        "telegram_name" => fields.name(name).is_none_or(|name| name.is_empty()),
        "telegram_id" => fields.id(name).is_none(),
        _ => fields.text(name).is_none(),
    };
    let texts = ["telegram_id", "telegram_name", "project_id", "session_token"];
    if let Some(missing) = texts.into_iter().find(is_missing) {
        return Some(missing);
    }
    let seconds = |name| match fields.seconds(name) {
        Whole::Exactly(number) if i64::try_from(number).is_ok() => Ok(number),
        Whole::Unsure => Err(None),
        _ => Err(Some(name)),
    };
    let nbf = if fields.is_absent("nbf") { Ok(0) } else { seconds("nbf") };
    match seconds("iat").and_then(|iat| Ok((iat, seconds("exp")?, nbf?))) {
        Err(refusal) => refusal,
        Ok((_, exp, _)) if exp.saturating_add(LEEWAY) <= NOW => Some("TOKEN_EXPIRED"),
        Ok((iat, _, nbf)) if iat.max(nbf) > NOW + LEEWAY => Some("INVALID_TOKEN"),
        _ => (fields.text("project_id")? != PROJECT).then_some("WRONG_PROJECT"),
    }
}

fn rounding_decides(fields: &Fields<'_>) -> bool {
    ["iat", "exp", "nbf"].iter().any(|name| fields.seconds(name) == Whole::Unsure)
}

fn check_refusal(error: &ProofError, claims: &[u8]) {
    if Fields::read(claims).is_some_and(|fields| rounding_decides(&fields)) {
        return;
    }
    assert_eq!(Some(name(error)), refusal(claims));
}

fn check(proof: &Proof, claims: &[u8]) {
    let event = Event::from(proof);
    assert_eq!(event.key(), EventKey::new("auth.confirmed", proof.session_token()));
    let again = Event::from_trusted(event.raw().clone()).expect("its own JSON is an event");
    assert_eq!(again.user(), Some(proof.user()));
    let fields = Fields::read(claims).expect("accepted claims are an object");
    if !rounding_decides(&fields) {
        assert_eq!(refusal(claims), None);
    }
    assert_eq!(Some(proof.user().id().as_str()), fields.id("telegram_id").as_deref());
    assert_eq!(Some(mended(proof.user().name())), fields.name("telegram_name"));
    let username = fields.name("telegram_username").filter(|name| !name.is_empty());
    assert_eq!(proof.user().username().map(mended), username);
    assert_eq!(proof.user().phone(), fields.text("telegram_phone").as_deref());
    assert_eq!(proof.project_id(), PROJECT);
    assert_eq!(Some(proof.session_token()), fields.text("session_token").as_deref());
    let millis = fields.whole("confirmed_at");
    assert!(is_time(millis, proof.confirmed_at(), Duration::from_millis));
    assert!(is_time(fields.seconds("iat"), Some(proof.issued_at()), Duration::from_secs));
    assert!(is_time(fields.seconds("exp"), Some(proof.expires_at()), Duration::from_secs));
}
