//! Secrets, the signatures made with them, and the verification of signed events.

mod digest;
mod keyring;
mod secret;
mod verifier;

#[cfg(feature = "proof")]
pub(crate) use self::keyring::{Clock, Keyring};
pub(crate) use self::secret::SecretName;
pub use self::{
    digest::{MalformedSignature, SIGNATURE_HEADER, Signature},
    secret::{Secret, SecretError},
    verifier::{Verifier, VerifyError},
};
