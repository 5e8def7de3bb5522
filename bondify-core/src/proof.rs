//! Proofs, with which polling ends: signed statements that a user logged in.

mod authenticate;
mod claims;
mod jwt;
mod verifier;

pub use self::{
    authenticate::Authentication,
    claims::{Proof, ProofError},
    verifier::ProofVerifier,
};
