//! Finds the likely mistake behind a signature that is not valid, by trying the mistakes that
//! integrations make.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bondify_core::{Secret, Signature};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    pub(super) cause: Cause,
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cause {
    Format,
    Body,
    Secret,
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format of the signature",
            Self::Body => "body",
            Self::Secret => "secret",
        })
    }
}

/// Diagnoses a `signature` that is not valid for `secret` and `body`.
pub(super) fn diagnose(body: &[u8], secret: &[u8], signature: &str) -> Diagnosis {
    let (cause, reason) = match signature.parse() {
        Err(_) => (Cause::Format, wrong_format(signature.trim())),
        Ok(signature) => match find_mistake(body, secret, &signature) {
            Some((cause, reason)) => (cause, reason.into()),
            None => guess(body),
        },
    };
    Diagnosis { cause, reason }
}

fn wrong_format(value: &str) -> String {
    let prefix = value.len().checked_sub(64).and_then(|start| value.split_at_checked(start));
    if let Some((prefix, hex)) = prefix
        && hex.parse::<Signature>().is_ok()
    {
        return format!("`{prefix}` comes before the 64 hexadecimal digits; Bondify sends none");
    }
    let tail = value.split_once(['=', ',', ':', ' ']).map_or("", |(_, tail)| tail);
    if [value, tail].into_iter().filter_map(decode_base64).any(|digest| digest.len() == 32) {
        return "it is base64; Bondify sends 64 hexadecimal digits".into();
    }
    match value.chars().find(|character| !character.is_ascii_hexdigit()) {
        Some(other) => format!("{other:?} is not a hexadecimal digit"),
        None => format!("it has {} hexadecimal digits, not 64", value.len()),
    }
}

fn decode_base64(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabets = [alphabet::STANDARD, alphabet::URL_SAFE];
    alphabets.iter().find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(&text).ok())
}

/// Finds the body or the secret with which `signature` would be valid.
fn find_mistake(
    body: &[u8],
    secret: &[u8],
    signature: &Signature,
) -> Option<(Cause, &'static str)> {
    let verifies = |body: &[u8], secret: &[u8]| Secret::unchecked(secret).verifies(body, signature);
    let bodies = bodies_instead_of(body);
    let other_body = bodies.iter().find(|(other, _)| verifies(other.as_bytes(), secret));
    if let Some((_, reason)) = other_body {
        return Some((Cause::Body, reason));
    }
    let secrets = secrets_instead_of(secret);
    let other_secret = secrets.iter().find(|(other, _)| {
        verifies(body, other) || bodies.iter().any(|(body, _)| verifies(body.as_bytes(), other))
    });
    other_secret.map(|(_, reason)| (Cause::Secret, *reason))
}

fn bodies_instead_of(body: &[u8]) -> Vec<(Cow<'_, str>, &'static str)> {
    let Ok(body) = str::from_utf8(body) else { return Vec::new() };
    let unix = body.replace("\r\n", "\n");
    let mut bodies: Vec<(Cow<'_, str>, _)> = vec![
        (body.trim().into(), "it was signed without the whitespace around it"),
        (format!("{body}\n").into(), "it was signed with a line end after it"),
        (format!("{body}\r\n").into(), "it was signed with a line end after it"),
        (unix.replace('\n', "\r\n").into(), "it was signed with the line ends CR LF"),
        (unix.into(), "it was signed with the line ends LF"),
        (body.trim_start_matches('\u{feff}').into(), "it was signed without a byte order mark"),
    ];
    bodies.extend(rewritten(body).map(|json| {
        (json.into(), "its JSON was parsed and written again; what is signed is the bytes received")
    }));
    bodies
}

/// Rewrites the JSON as Bondify writes it: the same order of fields, no whitespace.
fn rewritten(json: &str) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let mut compact = Vec::with_capacity(json.len());
    serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::new(&mut compact)).ok()?;
    String::from_utf8(compact).ok()
}

const PREFIX: &[u8] = b"whsec_";

fn secrets_instead_of(secret: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    const DECODED: &str = "the sender decoded it from base64; Bondify's key is the text itself";
    let mut secrets = Vec::new();
    if let Some(tail) = secret.strip_prefix(PREFIX) {
        secrets.push((tail.into(), "the sender left `whsec_` out; it is part of Bondify's key"));
        secrets.extend(decode_base64(tail).map(|key| (key, DECODED)));
    } else {
        let whole = [PREFIX, secret].concat();
        secrets.push((whole, "`whsec_` is missing before it; it is part of Bondify's key"));
    }
    secrets.extend(decode_base64(secret).map(|key| (key, DECODED)));
    for quote in [b"\"", b"'"] {
        let inner = secret.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        secrets.extend(inner.map(|inner| (inner.into(), "quotes around it are not part of it")));
    }
    secrets
}

/// Guesses without a known mistake: Bondify sends compact JSON, so other JSON was changed.
fn guess(body: &[u8]) -> (Cause, String) {
    let text = str::from_utf8(body).ok();
    match text.map(|text| (text, rewritten(text))) {
        Some((text, Some(compact))) if compact == text => (
            Cause::Secret,
            "the body looks as Bondify sends it, so another secret signed it, such as another \
             project's or one that was regenerated, or a value in the body was changed"
                .into(),
        ),
        Some((_, Some(_))) => (
            Cause::Body,
            "Bondify sends JSON without whitespace in between, so this one was changed after it \
             was signed"
                .into(),
        ),
        _ => (Cause::Body, "it is not JSON".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"event":"auth.cancelled","session_token":"İ","cancelled_at":1}"#;
    const SECRET: &str = "whsec_c2VjcmV0";

    /// Diagnoses the signature of `body` with `secret`; the receiver has `BODY` and `SECRET`.
    fn diagnosed(body: impl AsRef<[u8]>, secret: impl AsRef<[u8]>) -> (Cause, String) {
        let signature = Secret::new(secret).unwrap().sign(body.as_ref()).to_string();
        let Diagnosis { cause, reason } = diagnose(BODY.as_bytes(), SECRET.as_bytes(), &signature);
        (cause, reason)
    }

    /// Diagnoses what a receiver got, when `BODY` was signed with `SECRET`.
    fn received(body: &str, secret: &str) -> (Cause, String) {
        let signature = Secret::new(SECRET).unwrap().sign(BODY.as_bytes()).to_string();
        let Diagnosis { cause, reason } = diagnose(body.as_bytes(), secret.as_bytes(), &signature);
        (cause, reason)
    }

    fn assert_says((cause, reason): (Cause, String), expected: Cause, part: &str) {
        assert_eq!(cause, expected, "{reason}");
        assert!(reason.contains(part), "{reason}");
    }

    #[test]
    fn a_changed_body_is_diagnosed() {
        for padded in [format!("{BODY}\n"), format!("{BODY}\r\n"), format!(" {BODY}")] {
            assert_says(received(&padded, SECRET), Cause::Body, "whitespace around");
        }
        assert_says(diagnosed(format!("{BODY}\n"), SECRET), Cause::Body, "line end after");
        assert_says(received(&format!("\u{feff}{BODY}"), SECRET), Cause::Body, "byte order mark");
        let python = BODY.replace(':', ": ").replace(',', ", ").replace('İ', "\\u0130");
        assert_says(received(&python, SECRET), Cause::Body, "written again");
        let pretty = BODY.replace(',', ",\n  ");
        assert_says(received(&pretty, SECRET), Cause::Body, "written again");
    }

    #[test]
    fn changed_line_ends_are_diagnosed() {
        for (received, signed, part) in
            [("a\r\nb", "a\nb", "line ends LF"), ("a\nb", "a\r\nb", "line ends CR LF")]
        {
            let signature = Secret::new(SECRET).unwrap().sign(signed.as_bytes()).to_string();
            let diagnosis = diagnose(received.as_bytes(), SECRET.as_bytes(), &signature);
            assert_eq!(diagnosis.cause, Cause::Body);
            assert!(diagnosis.reason.contains(part), "{}", diagnosis.reason);
        }
    }

    #[test]
    fn a_decoded_secret_is_diagnosed() {
        assert_says(diagnosed(BODY, "c2VjcmV0"), Cause::Secret, "left `whsec_` out");
        assert_says(diagnosed(BODY, "secret"), Cause::Secret, "base64");
        assert_says(received(BODY, "c2VjcmV0"), Cause::Secret, "missing");
        assert_says(received(BODY, &format!("\"{SECRET}\"")), Cause::Secret, "quotes");
        let padded = format!("{BODY}\n");
        assert_says(received(&padded, "c2VjcmV0"), Cause::Secret, "missing");
    }

    #[test]
    fn an_unknown_mistake_is_answered_with_a_guess() {
        assert_says(diagnosed(BODY, "whsec_another"), Cause::Secret, "another");
        let changed = BODY.replace(":1}", ": 2}");
        assert_says(received(&changed, SECRET), Cause::Body, "without whitespace");
        assert_says(received("event=auth.cancelled", SECRET), Cause::Body, "not JSON");
    }

    #[test]
    fn another_form_of_signature_is_diagnosed() {
        let reason = |signature: &str| {
            let diagnosis = diagnose(b"{}", b"whsec_a", signature);
            assert_eq!(diagnosis.cause, Cause::Format);
            diagnosis.reason
        };
        let hex = "0a".repeat(32);
        assert!(reason(&format!("sha256={hex}")).contains("`sha256=`"));
        for base64 in [
            "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo",
            "v1,CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=",
        ] {
            assert!(reason(base64).contains("base64"), "{base64}");
        }
        assert!(reason(&hex[1..]).contains("63"));
        assert!(reason("").contains("0 hexadecimal digits"));
        assert!(reason(&hex.replacen('a', "g", 1)).contains("'g'"));
    }
}
