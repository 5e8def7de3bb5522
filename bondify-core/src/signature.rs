//! Secrets, the signatures made with them, and the verification of signed events.

mod clock;
mod digest;
mod keyring;
mod secret;
mod verifier;

#[cfg(feature = "proof")]
pub(crate) use self::{clock::Clock, keyring::Keyring};
pub use self::{
    digest::{MalformedSignature, SIGNATURE_HEADER, Signature},
    secret::{Secret, SecretError},
    verifier::{Verifier, VerifyError},
};
