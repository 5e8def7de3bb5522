//! Verification of JWTs: HS256 with the project's secret only.
//!
//! [`Secret`] checks the signature, as for a delivery, before any part of the token is decoded. A JWT
//! library would only decode a header of three fields, and would need a crypto backend that is chosen
//! once per process, and a clock and random numbers that some targets lack.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use bytestring::ByteString;
use serde_core::Serialize;
use serde_json::{Map, Value};

use super::claims::ProofError;
use crate::{Secret, Signature, event::SecretName, signature::Keyring};

const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

/// Returns the claims of `token`, as JSON, and the name of the secret that signed it.
pub(super) fn verify(
    secrets: &Keyring,
    token: &str,
) -> Result<(ByteString, SecretName), ProofError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(ProofError::Malformed)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| ProofError::Malformed)?;
    let signature = signature.try_into().map(Signature).map_err(|_| ProofError::Malformed)?;
    let signed_by =
        secrets.verify(signed.as_bytes(), &signature).ok_or(ProofError::InvalidSignature)?;
    let claims = decode(signed).ok_or(ProofError::Malformed)?;
    Ok((claims, signed_by))
}

/// Returns the claims of `header.claims`, if the header is one of HS256.
fn decode(signed: &str) -> Option<ByteString> {
    let (header, claims) = signed.split_once('.')?;
    let header: Map<String, Value> =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    // An extension that has to be understood, and is not.
    let critical = header.get("crit").is_some_and(|crit| !crit.is_null());
    if critical || header.get("alg")? != "HS256" {
        return None;
    }
    ByteString::try_from(Bytes::from(URL_SAFE_NO_PAD.decode(claims).ok()?)).ok()
}

impl Secret {
    /// Signs `claims` as Bondify signs a proof: as a JWT with HS256.
    ///
    /// It is for emulators and tests. [`ProofVerifier`](crate::ProofVerifier) verifies proofs.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::{ProofVerifier, Secret};
    /// use serde_json::json;
    ///
    /// let secret = Secret::new("whsec_5f2b0c9d")?;
    /// let token = secret.sign_proof(&json!({
    ///     "telegram_id": "42", "telegram_name": "Ada", "project_id": "proj_1", "session_token": "sess_1",
    ///     "iat": 1_700_000_000, "exp": 1_700_000_300,
    /// }))?;
    /// // A clock within the lifetime of the proof.
    /// let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_100);
    /// let proof = ProofVerifier::new(secret).clock(clock).verify(&token)?;
    /// assert_eq!(proof.user().name(), "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `serde_json` if `claims` cannot be serialised as JSON.
    pub fn sign_proof(&self, claims: &impl Serialize) -> serde_json::Result<String> {
        let claims = serde_json::to_vec(claims)?;
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()).0);
        Ok(format!("{signed}.{signature}"))
    }
}
