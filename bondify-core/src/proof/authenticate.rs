//! The proof that a request carries.

use std::error::Error;

use crate::{Headers, Proof, ProofError, ProofVerifier, Reply};

impl ProofVerifier {
    /// For adapters: redeems the proof that a request carries, in `Authorization: Bearer …`
    /// or else in the cookie. `earlier` is what it found in the same request before: a
    /// guard and a handler that both ask use the proof up once.
    ///
    /// The returned future borrows nothing.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of running the handler. For a handler that works
    /// either way, each of them means that nobody is logged in.
    pub fn authenticate(
        &self,
        headers: &dyn Headers,
        earlier: Option<&Proof>,
    ) -> impl Future<Output = Result<Proof, Reply>> + Send + use<> {
        let earlier = earlier.filter(|proof| self.verified(proof)).cloned();
        let (this, token) = (self.clone(), token(headers, self.cookie_name()));
        async move {
            if let Some(proof) = earlier {
                return Ok(proof);
            }
            let token = token.ok_or(Reply::MissingToken)?;
            this.redeem(&token).await.map_err(|error| {
                if let ProofError::Store(error) = &error {
                    tracing::error!(error = error as &dyn Error, "a proof cannot be redeemed");
                } else {
                    tracing::debug!(%error, "a proof is refused");
                }
                Reply::from(error)
            })
        }
    }
}

impl From<ProofError> for Reply {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Malformed | ProofError::NotYetValid => Self::InvalidToken,
            ProofError::InvalidSignature => Self::InvalidTokenSignature,
            ProofError::MissingField { .. } => Self::MissingFields,
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
        found = found.take().or_else(|| bearer(std::str::from_utf8(value).ok()?));
    });
    headers.visit("cookie", &mut |value| {
        found = found.take().or_else(|| in_cookie(std::str::from_utf8(value).ok()?, cookie));
    });
    found
}

fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start().to_owned())
}

fn in_cookie(value: &str, name: &str) -> Option<String> {
    let mut cookies = value.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    let (_, value) = cookies.find(|(other, value)| *other == name && !value.is_empty())?;
    Some(value.trim_matches('"').to_owned())
}
