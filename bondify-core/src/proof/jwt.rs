//! Verification of JWTs: HS256 with the project's secret only.
//!
//! [`Secret`] checks the signature, as for a delivery, before any part of the token is decoded. The JWT
//! library only decodes the signed token. Its own check would need a crypto backend that is chosen once
//! per process, and uses the system's clock only.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytestring::ByteString;
use jsonwebtoken::{Algorithm, Header, dangerous::insecure_decode};
use serde_core::Serialize;
use serde_json::value::RawValue;

use super::claims::ProofError;
use crate::{
    Secret, Signature,
    signature::{Keyring, SecretName},
};

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
    let jwt = insecure_decode::<Box<RawValue>>(token).map_err(|_| ProofError::Malformed)?;
    if jwt.header.alg != Algorithm::HS256 || jwt.header.crit.is_some() {
        return Err(ProofError::Malformed);
    }
    Ok((ByteString::from(String::from(Box::<str>::from(jwt.claims))), signed_by))
}

impl Secret {
    /// Signs `claims` as Bondify signs a proof: as a JWT with HS256.
    ///
    /// It is for emulators and tests. [`ProofVerifier`](crate::ProofVerifier) verifies proofs.
    ///
    /// # Errors
    ///
    /// The error of `serde_json` if `claims` cannot be serialised as JSON.
    pub fn sign_proof(&self, claims: &impl Serialize) -> serde_json::Result<String> {
        let header = serde_json::to_vec(&Header::new(Algorithm::HS256))?;
        let claims = serde_json::to_vec(claims)?;
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()).0);
        Ok(format!("{signed}.{signature}"))
    }
}
