//! The proof that a request carries.

use std::{error::Error, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{
    claims::{Proof, ProofError},
    verifier::ProofVerifier,
};
use crate::{Reply, cookies::visit_cookies, headers::Headers};

impl ProofVerifier {
    /// Verifies the proof that a request carries, in `Authorization: Bearer …` or, if it is not there, in the
    /// cookie, by [`verify_once`](Self::verify_once). For adapters.
    ///
    /// `earlier` is the result of an earlier call for the same request. With it, a guard and a handler that
    /// both authenticate the request mark the proof as used once.
    ///
    /// ```
    /// use bondify_core::{ProofVerifier, Reply};
    /// use http::HeaderMap;
    ///
    /// async fn user_id(proofs: &ProofVerifier, headers: &HeaderMap) -> Result<String, Reply> {
    ///     let proof = proofs.authenticate(headers, None).await?;
    ///     Ok(proof.user().id().to_string())
    /// }
    /// ```
    pub fn authenticate(
        &self,
        headers: &dyn Headers,
        earlier: Option<&Authentication>,
    ) -> Authentication {
        if let Some(same) = earlier.filter(|earlier| Arc::ptr_eq(&earlier.by.0, &self.0)) {
            return same.clone();
        }
        let (by, token) = (self.clone(), token(headers, &self.0.cookie));
        let proof = async move {
            let token = token.ok_or(Reply::MissingToken)?;
            by.verify_once(&token).await.map_err(|error| {
                if let ProofError::Store(error) = &error {
                    tracing::error!(
                        error = error as &dyn Error,
                        "a proof is not accepted: its single use cannot be checked"
                    );
                } else {
                    tracing::debug!(%error, "a proof is refused");
                }
                Reply::from(error)
            })
        };
        Authentication { by: self.clone(), proof: proof.boxed().shared() }
    }
}

/// The answer of [`ProofVerifier::authenticate`]. Awaited, it is the user's [`Proof`], or the
/// [`Reply`] to send instead of running the handler. For a handler whose user is optional, each reply
/// means that nobody is logged in.
///
/// Clones have the same output.
///
/// ```
/// use bondify_core::{ProofVerifier, adapter::Authentication};
/// use http::request::Parts;
///
/// /// Keeps the result in the request, for the guard and the handler.
/// fn authenticate(proofs: &ProofVerifier, request: &mut Parts) -> Authentication {
///     let earlier = request.extensions.get::<Authentication>();
///     let authentication = proofs.authenticate(&request.headers, earlier);
///     request.extensions.insert(authentication.clone());
///     authentication
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is verified until it is awaited"]
pub struct Authentication {
    by: ProofVerifier,
    proof: Shared<BoxFuture<'static, Result<Proof, Reply>>>,
}

impl IntoFuture for Authentication {
    type Output = Result<Proof, Reply>;
    type IntoFuture = Shared<BoxFuture<'static, Result<Proof, Reply>>>;

    fn into_future(self) -> Self::IntoFuture {
        self.proof
    }
}

impl From<ProofError> for Reply {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Malformed | ProofError::NotYetValid => Self::InvalidToken,
            ProofError::InvalidSignature => Self::InvalidTokenSignature,
            ProofError::MissingField { .. } => Self::MissingFields,
            ProofError::NoClock => Self::Misconfigured,
            ProofError::Expired => Self::TokenExpired,
            ProofError::WrongProject => Self::WrongProject,
            ProofError::Used => Self::TokenUsed,
            ProofError::Store(_) => Self::StoreUnavailable,
        }
    }
}

fn token(headers: &dyn Headers, cookie: &str) -> Option<String> {
    let mut found = None;
    headers.visit("authorization", &mut |value| {
        found = found.take().or_else(|| bearer(&String::from_utf8_lossy(value)));
    });
    visit_cookies(headers, &mut |name, value| {
        if found.is_none() && name == cookie.as_bytes() && !value.is_empty() {
            found = Some(String::from_utf8_lossy(value).into_owned());
        }
    });
    found
}

fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.trim_matches([' ', '\t']).split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' ').to_owned())
}
