//! Proofs: signed statements that a user logged in, which polling returns.

#[cfg(feature = "pipeline")]
mod authenticate;
mod claims;
mod jwt;
mod verifier;

#[cfg(feature = "pipeline")]
pub use self::authenticate::Authentication;
pub use self::{
    claims::{Proof, ProofError},
    verifier::ProofVerifier,
};
