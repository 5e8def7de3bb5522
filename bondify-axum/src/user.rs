use std::convert::Infallible;

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    http::request::Parts,
};
use bondify_core::{ProofVerifier, adapter::define_bondify_user};

use crate::BondifyRejection;

define_bondify_user! {
    /// Extracts the user whose proof the request carries, in `Authorization: Bearer …` or, if it is not
    /// there, in the cookie `bondify_proof`. A proof is the signed statement that polling ends with.
    ///
    /// Without an accepted proof the response is 401, or 503 if the store of used proofs cannot
    /// be reached. `Option<BondifyUser>` is `None` without an accepted proof.
    ///
    /// The [`ProofVerifier`] is the router's state, or a part of it by [`FromRef`].
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use bondify_axum::{BondifyUser, ProofVerifier};
    ///
    /// async fn me(user: BondifyUser) -> String {
    ///     format!("hello {}", user.name())
    /// }
    ///
    /// async fn home(user: Option<BondifyUser>) -> &'static str {
    ///     if user.is_some() { "welcome back" } else { "please log in" }
    /// }
    ///
    /// fn router(proofs: ProofVerifier) -> Router {
    ///     Router::new().route("/me", get(me)).route("/", get(home)).with_state(proofs)
    /// }
    /// ```
    ///
    /// `axum::middleware::from_extractor_with_state::<BondifyUser, _>(proofs)` guards a whole router.
    ///
    /// A proof lasts for 5 minutes. Exchange it for a session of your own, and set
    /// [`ProofVerifier::single_use`], so that it is exchanged once.
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
