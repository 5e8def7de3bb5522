use std::convert::Infallible;

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    http::request::Parts,
};
use bondify_core::{ProofVerifier, adapter::define_bondify_user};

use crate::BondifyRejection;

define_bondify_user! {
    /// Extracts the user whose proof the request carries, in `Authorization: Bearer …` or
    /// else in a cookie.
    ///
    /// Without an accepted proof the response is 401, or 503 if the store of used proofs cannot
    /// be reached. `Option<BondifyUser>` is `None` without an accepted proof.
    ///
    /// The [`ProofVerifier`] is the router's state, or a part of it by [`FromRef`].
}

impl<S> FromRequestParts<S> for BondifyUser
where
    ProofVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = BondifyRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BondifyRejection> {
        let proofs = ProofVerifier::from_ref(state);
        let asked = proofs.authenticate(&parts.headers, parts.extensions.get());
        parts.extensions.insert(asked.clone());
        asked.await.map(Self).map_err(BondifyRejection)
    }
}

impl<S> OptionalFromRequestParts<S> for BondifyUser
where
    ProofVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}
