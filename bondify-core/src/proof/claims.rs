use std::{fmt, time::SystemTime};

use bytestring::ByteString;
use serde_json::json;

#[cfg(feature = "pipeline")]
use crate::StoreError;
use crate::{
    Confirmed, Event, EventKey, ParseError, TelegramUser,
    event::{Field, Payload, SecretName},
};

/// The statement, signed by Bondify, that a user confirmed a login session.
///
/// Only verification creates one. It lasts for 5 minutes: exchange it for a session of your own. Clones are
/// cheap. `Debug` shows nothing personal.
///
/// ```
/// use bondify_core::Proof;
///
/// fn describe(proof: &Proof) -> String {
///     let user = proof.user();
///     format!("{} confirmed {} of {}", user.id(), proof.session_token(), proof.project_id())
/// }
/// ```
#[derive(Clone)]
pub struct Proof {
    signed_by: SecretName,
    user: TelegramUser,
    project_id: ByteString,
    session_token: ByteString,
    confirmed_at: Option<SystemTime>,
    issued_at: SystemTime,
    expires_at: SystemTime,
    /// The later of `iat` and `nbf`.
    pub(super) valid_from: SystemTime,
}

impl Proof {
    /// The user who confirmed.
    pub fn user(&self) -> &TelegramUser {
        &self.user
    }

    /// The project that the user logged in to.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// The token of the session that the user confirmed.
    pub fn session_token(&self) -> &str {
        &self.session_token
    }

    /// The time at which the user tapped Confirm, to the millisecond, if the proof contains it.
    pub fn confirmed_at(&self) -> Option<SystemTime> {
        self.confirmed_at
    }

    /// The time at which Bondify signed the proof.
    pub fn issued_at(&self) -> SystemTime {
        self.issued_at
    }

    /// The expiry time.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::Proof;
    ///
    /// /// For how long a client can still exchange the proof for a session.
    /// fn usable_for(proof: &Proof) -> Duration {
    ///     proof.expires_at().duration_since(SystemTime::now()).unwrap_or_default()
    /// }
    /// ```
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// The [name](crate::Secret::named) of the secret that signed the proof, if it has one.
    pub fn signed_by(&self) -> Option<&str> {
        self.signed_by.as_deref()
    }

    /// The key of its single use in a store. No event has the name `proof`, so events can be in the same
    /// store.
    pub(super) fn key(&self) -> EventKey {
        EventKey::new("proof", self.session_token()).within(self.project_id())
    }

    /// Reads claims whose signature has been checked.
    pub(super) fn parse(claims: ByteString, signed_by: SecretName) -> Result<Self, ProofError> {
        let mut payload = Payload::default();
        payload.read(&claims).ok_or(ProofError::Malformed)?;
        let required =
            |name, field: &Field<'_>| field.text(&claims).ok_or(ProofError::MissingField { name });
        let time =
            |name, field: &Field<'_>| field.seconds().ok_or(ProofError::MissingField { name });
        let user = user(&payload, &claims)?;
        let project_id = required("project_id", &payload.project_id)?;
        let session_token = required("session_token", &payload.session_token)?;
        let issued_at = time("iat", &payload.iat)?;
        Ok(Self {
            user,
            project_id,
            session_token,
            confirmed_at: payload.confirmed_at.millis(),
            issued_at,
            expires_at: time("exp", &payload.exp)?,
            valid_from: match &payload.nbf {
                Field::Absent => issued_at,
                nbf => time("nbf", nbf)?.max(issued_at),
            },
            signed_by,
        })
    }
}

impl From<&Proof> for Event {
    /// Creates the event of the login, with the same [`key`](Event::key) as its webhook. The time of the
    /// event is `confirmed_at`, or the issue time of a proof without it.
    fn from(proof: &Proof) -> Self {
        let confirmed_at = proof.confirmed_at.unwrap_or(proof.issued_at);
        let since_epoch = confirmed_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let user = proof.user();
        let body = json!({
            "event": Confirmed::NAME,
            "session_token": proof.session_token(),
            "telegram_id": user.id().as_str(),
            "telegram_name": user.name(),
            "telegram_username": user.username(),
            "telegram_phone": user.phone(),
            "confirmed_at": since_epoch.as_millis() as u64,
        });
        Self::parse(body.to_string().into(), proof.signed_by.clone())
            .expect("a proof has all fields of the event")
    }
}

/// Reads the user. Unlike an event, a proof must contain a name.
fn user(payload: &Payload<'_>, claims: &ByteString) -> Result<TelegramUser, ProofError> {
    let missing = |name| ProofError::MissingField { name };
    let user = TelegramUser::read(payload, claims).map_err(|error| match error {
        ParseError::Field { name, .. } => missing(name),
        ParseError::NotAnObject => ProofError::Malformed,
    })?;
    if user.name().is_empty() { Err(missing("telegram_name")) } else { Ok(user) }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({:.8})", self.key())
    }
}

/// The error for a proof that is not accepted.
///
/// ```
/// use bondify_core::ProofError;
///
/// fn advice(error: &ProofError) -> &'static str {
///     match error {
///         ProofError::Expired | ProofError::Used => "sign in again",
///         ProofError::Store(_) => "try again later",
///         _ => "this is not a proof of ours",
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The token is not a JWT (JWS compact form, `alg` HS256) with JSON claims.
    #[error("the proof is not a JWT that is signed with HS256")]
    Malformed,
    /// None of the secrets signed the proof.
    #[error("the signature is not valid for this proof")]
    InvalidSignature,
    /// A claim that a proof must have is missing, empty or of another type.
    #[error("the claim `{name}` is missing, empty or of another type")]
    #[non_exhaustive]
    MissingField {
        /// The claim's name.
        name: &'static str,
    },
    /// There is no clock to check the proof's times by. Only on wasm32-unknown-unknown, if no
    /// [`clock`](crate::ProofVerifier::clock) is set.
    #[error(
        "the proof's times cannot be checked without a clock; set one with `ProofVerifier::clock`"
    )]
    NoClock,
    /// The proof has expired.
    #[error("the proof has expired")]
    Expired,
    /// The proof's `iat` or `nbf` is in the future.
    #[error("the proof is not valid yet: its `iat` or `nbf` is in the future")]
    NotYetValid,
    /// The proof belongs to another project.
    #[error("the proof is for another project")]
    WrongProject,
    /// The proof, or another proof of its session, was used before.
    #[cfg(feature = "pipeline")]
    #[error("the proof was used before")]
    Used,
    /// The store of used proofs could not answer.
    #[cfg(feature = "pipeline")]
    #[error("the proof's single use cannot be checked")]
    Store(#[source] StoreError),
}
