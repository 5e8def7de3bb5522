//! Proofs: signed statements that a user logged in, which polling returns.

mod authenticate;
mod claims;
mod jwt;
mod verifier;

pub use self::{
    authenticate::Authentication,
    claims::{Proof, ProofError},
    verifier::ProofVerifier,
};
