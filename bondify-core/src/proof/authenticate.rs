//! The proof that a request carries.

use std::{error::Error, fmt, sync::Arc};

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
    /// Redeems the proof that a request carries, in `Authorization: Bearer …` or, if it is not there, in the
    /// cookie. For adapters.
    ///
    /// `earlier` is the result of an earlier call for the same request. With it, a guard and a handler that
    /// both authenticate the request use the proof up once.
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
            by.redeem(&token).await.map_err(|error| {
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
#[derive(Clone)]
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

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication").field("by", &self.by).finish_non_exhaustive()
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
