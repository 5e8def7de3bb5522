use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    clock::Clock,
    digest::{MalformedSignature, Signature},
    keyring::Keyring,
    secret::Secret,
};
use crate::{Event, ParseError, limits};

/// Turns signed bytes into an [`Event`]: checks the signature, then the JSON, then the age.
///
/// It is synchronous and can be used alone, for deliveries that arrive through a queue, a serverless
/// function or a file. It does not deduplicate events: [`Bondify`](crate::Bondify) does.
///
/// On wasm32-unknown-unknown, which has no clock, it refuses every event until a
/// [`clock`](Self::clock) is set.
///
/// ```
/// use bondify_core::{Event, Secret, Verifier, VerifyError};
///
/// /// Handles a message of a queue.
/// fn on_message(verifier: &Verifier, body: Vec<u8>, signature: &str) -> Result<(), VerifyError> {
///     match verifier.verify(body, signature)? {
///         Event::Confirmed(confirmed) => println!("user {} logged in", confirmed.user().id()),
///         Event::Cancelled(_) => println!("a login was cancelled"),
///         other => println!("unknown event {}", other.name()),
///     }
///     Ok(())
/// }
///
/// let verifier = Verifier::new(Secret::new("whsec_5f2b0c9d")?);
/// let forged = on_message(&verifier, b"{}".to_vec(), &"0".repeat(64));
/// assert_eq!(forged, Err(VerifyError::InvalidSignature));
/// # Ok::<(), bondify_core::SecretError>(())
/// ```
#[must_use]
pub struct Verifier {
    pub(crate) secrets: Arc<Keyring>,
    pub(crate) tolerance: Duration,
    pub(crate) clock: Clock,
}

impl Verifier {
    /// The maximum age of an event, unless [`tolerance`](Self::tolerance) sets another:
    /// 24 hours.
    pub const DEFAULT_TOLERANCE: Duration = limits::DEFAULT_TOLERANCE;

    /// The maximum time that an event may lie in the future, since clocks differ: 5 minutes.
    pub const SKEW: Duration = limits::SKEW;

    /// Creates a verifier that accepts events signed with `secret`.
    ///
    /// ```
    /// use bondify_core::{Secret, Verifier};
    ///
    /// let verifier = Verifier::new(Secret::new("whsec_5f2b0c9d")?);
    /// assert!(verifier.verify("{}", "0".repeat(64)).is_err());
    /// # Ok::<(), bondify_core::SecretError>(())
    /// ```
    pub fn new(secret: Secret) -> Self {
        Self {
            secrets: Arc::new(Keyring::new(secret, [])),
            tolerance: Self::DEFAULT_TOLERANCE,
            clock: Clock::system(),
        }
    }

    /// Also accepts events that `old` signed: the project's secret before a rotation, as retries of older
    /// deliveries still carry its signature. Several calls add several secrets.
    ///
    /// ```
    /// use bondify_core::{Secret, SecretError, Verifier};
    ///
    /// fn verifier(new: &str, old: &str) -> Result<Verifier, SecretError> {
    ///     Ok(Verifier::new(Secret::new(new)?).old_secret(Secret::new(old)?))
    /// }
    /// ```
    pub fn old_secret(mut self, old: Secret) -> Self {
        self.secrets = Arc::new(self.secrets.with(old));
        self
    }

    /// Sets the maximum age of an event to `tolerance`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{Secret, Verifier};
    ///
    /// fn of_an_hour(secret: Secret) -> Verifier {
    ///     Verifier::new(secret).tolerance(Duration::from_secs(60 * 60))
    /// }
    /// ```
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Reads the time from `clock` instead of [`SystemTime::now`]. It has to be set on
    /// wasm32-unknown-unknown, which has no clock. In a Worker or a browser:
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::{Secret, Verifier};
    ///
    /// /// `millis` is, for instance, `js_sys::Date::now` or `|| worker::Date::now().as_millis()`.
    /// fn verifier(secret: Secret, millis: fn() -> f64) -> Verifier {
    ///     Verifier::new(secret).clock(move || {
    ///         SystemTime::UNIX_EPOCH + Duration::from_millis(millis() as u64)
    ///     })
    /// }
    /// ```
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(clock);
        self
    }

    /// Replaces the secrets: from now on only `secret` and those of `old` are accepted.
    ///
    /// ```
    /// use bondify_core::{Secret, SecretError, Verifier};
    ///
    /// fn on_new_secret(verifier: &Verifier, new: &str, old: &str) -> Result<(), SecretError> {
    ///     verifier.rotate(Secret::new(new)?, [Secret::new(old)?]);
    ///     Ok(())
    /// }
    /// ```
    pub fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.secrets.rotate(secret, old);
    }

    /// Creates a verifier with other secrets and the same tolerance and clock.
    #[cfg(feature = "pipeline")]
    pub(crate) fn for_secrets(
        &self,
        secret: Secret,
        old: impl IntoIterator<Item = Secret>,
    ) -> Self {
        let secrets = Arc::new(Keyring::new(secret, old));
        Self { secrets, tolerance: self.tolerance, clock: self.clock.clone() }
    }

    /// Verifies a delivery: its body, byte for byte as received, and the value of
    /// its `X-Bondify-Signature` header.
    ///
    /// ```
    /// use bondify_core::{Secret, Verifier, VerifyError};
    ///
    /// let secret = Secret::new("whsec_5f2b0c9d8e7a6b5c")?;
    /// let body = r#"{"event":"auth.unknown","session_token":"sess_1"}"#;
    /// let signature = secret.sign(body.as_bytes()).to_string();
    ///
    /// let verifier = Verifier::new(secret);
    /// assert_eq!(verifier.verify(body, &signature)?.name(), "auth.unknown");
    /// assert_eq!(verifier.verify("{}", &signature).unwrap_err(), VerifyError::InvalidSignature);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first check that fails, in this order:
    ///
    /// - [`VerifyError::InvalidSignature`] if the signature is malformed, or none of the secrets made it
    ///   for this body.
    /// - [`VerifyError::Parse`] if the body is not an event.
    /// - [`VerifyError::Stale`] if the event is older than the tolerance, or more than
    ///   [`SKEW`](Self::SKEW) in the future.
    pub fn verify(
        &self,
        body: impl Into<Bytes>,
        signature: impl AsRef<[u8]>,
    ) -> Result<Event, VerifyError> {
        self.check(body.into(), &Signature::parse(signature.as_ref())?)
    }

    pub(crate) fn check(&self, body: Bytes, signature: &Signature) -> Result<Event, VerifyError> {
        let signed_by =
            self.secrets.verify(&body, signature).ok_or(VerifyError::InvalidSignature)?;
        let event = Event::parse(body, signed_by)?;
        self.check_age(&event)?;
        Ok(event)
    }

    /// The time during which a captured delivery verifies: from [`SKEW`](Self::SKEW) before its
    /// event to the tolerance after it.
    #[cfg(feature = "pipeline")]
    pub(crate) fn replayable(&self) -> Duration {
        self.tolerance.saturating_add(Self::SKEW)
    }

    pub(crate) fn check_age(&self, event: &Event) -> Result<(), VerifyError> {
        let now = self.clock.now().ok_or(VerifyError::NoClock)?;
        let Some(occurred_at) = event.occurred_at() else {
            return Ok(());
        };
        let fresh = match now.duration_since(occurred_at) {
            Ok(age) => age <= self.tolerance,
            Err(ahead) => ahead.duration() <= Self::SKEW,
        };
        if fresh { Ok(()) } else { Err(VerifyError::Stale) }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("secrets", &self.secrets)
            .field("tolerance", &self.tolerance)
            .finish_non_exhaustive()
    }
}

/// The error for a delivery that does not verify. The variants are in the order of the checks.
///
/// ```
/// use bondify_core::VerifyError;
///
/// /// The status of the answer.
/// fn status(error: &VerifyError) -> u16 {
///     match error {
///         VerifyError::InvalidSignature | VerifyError::Stale => 401,
///         VerifyError::Parse(_) => 400,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no signature.
    #[error("the signature is missing")]
    MissingSignature,
    /// The signature is malformed, or was made for another body or with another secret.
    #[error("the signature is not valid for this body")]
    InvalidSignature,
    /// The body is signed, but is not an event.
    #[error("the signed body is not an event")]
    Parse(#[from] ParseError),
    /// The event is signed, but there is no clock to check its age by. Only on
    /// wasm32-unknown-unknown, if no [`clock`](Verifier::clock) is set.
    #[error("the event's age cannot be checked without a clock; set one with `Verifier::clock`")]
    NoClock,
    /// The event is signed, but too old or too far in the future.
    #[error("the event is outside the tolerance")]
    Stale,
}

impl From<MalformedSignature> for VerifyError {
    fn from(_: MalformedSignature) -> Self {
        Self::InvalidSignature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANCELLED_AT: u64 = 1_700_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::new(text).unwrap()
    }

    fn body() -> Bytes {
        format!(r#"{{"event":"auth.cancelled","session_token":"s","cancelled_at":{CANCELLED_AT}}}"#)
            .into()
    }

    /// Verifies a delivery that happened `CANCELLED_AT` at `now`, in milliseconds.
    fn at(now: u64) -> Result<Event, VerifyError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        let verifier = Verifier::new(secret("new")).clock(move || now);
        verifier.verify(body(), secret("new").sign(&body()).to_string())
    }

    #[test]
    fn age_is_judged_to_the_millisecond() {
        let tolerance = Verifier::DEFAULT_TOLERANCE.as_millis() as u64;
        let skew = Verifier::SKEW.as_millis() as u64;
        assert!(at(CANCELLED_AT).is_ok());
        assert!(at(CANCELLED_AT + tolerance).is_ok());
        assert_eq!(at(CANCELLED_AT + tolerance + 1).unwrap_err(), VerifyError::Stale);
        assert!(at(CANCELLED_AT - skew).is_ok());
        assert_eq!(at(CANCELLED_AT - skew - 1).unwrap_err(), VerifyError::Stale);
    }

    #[test]
    fn the_signature_is_checked_before_the_json() {
        let verifier = Verifier::new(secret("new"));
        let forged = secret("forged").sign(b"not json").to_string();
        assert_eq!(verifier.verify("not json", forged).unwrap_err(), VerifyError::InvalidSignature);
        let signed = secret("new").sign(b"not json").to_string();
        assert_eq!(
            verifier.verify("not json", signed).unwrap_err(),
            VerifyError::Parse(ParseError::NotAnObject)
        );
    }

    #[test]
    fn without_a_clock_every_event_is_refused() {
        let verifier = Verifier { clock: Clock::NONE, ..Verifier::new(secret("new")) };
        let verifier = verifier.tolerance(Duration::MAX);
        let verify = |body: Bytes| {
            let signature = secret("new").sign(&body).to_string();
            verifier.verify(body, signature)
        };
        assert_eq!(verify(body()).unwrap_err(), VerifyError::NoClock);
        assert_eq!(
            verify(Bytes::from_static(br#"{"event":"new"}"#)).unwrap_err(),
            VerifyError::NoClock
        );
    }

    #[test]
    fn the_event_says_which_secret_signed_it() {
        let named = |text, name: &str| secret(text).named(name);
        let verifier = Verifier::new(named("new", "2026-11"))
            .old_secret(named("old", "2026-10"))
            .old_secret(secret("unnamed"))
            .tolerance(Duration::MAX);
        let signed_by = |verifier: &Verifier, by: &str| {
            let event = verifier.verify(body(), secret(by).sign(&body()).to_string()).unwrap();
            event.signed_by().map(str::to_owned)
        };
        assert_eq!(signed_by(&verifier, "new").as_deref(), Some("2026-11"));
        assert_eq!(signed_by(&verifier, "old").as_deref(), Some("2026-10"));
        assert_eq!(signed_by(&verifier, "unnamed"), None);
        verifier.rotate(named("newer", "2026-12"), [named("new", "2026-11")]);
        assert_eq!(signed_by(&verifier, "new").as_deref(), Some("2026-11"));
        assert_eq!(signed_by(&verifier, "newer").as_deref(), Some("2026-12"));
    }

    #[test]
    fn rotation_accepts_exactly_the_given_secrets() {
        let verifier = Verifier::new(secret("old")).tolerance(Duration::MAX);
        let accepts = |verifier: &Verifier, by: &str| {
            verifier.verify(body(), secret(by).sign(&body()).to_string()).is_ok()
        };
        assert!(accepts(&verifier, "old") && !accepts(&verifier, "new"));
        let verifier =
            Verifier::new(secret("new")).old_secret(secret("old")).tolerance(Duration::MAX);
        assert!(accepts(&verifier, "old") && accepts(&verifier, "new"));
        verifier.rotate(secret("new"), []);
        assert!(!accepts(&verifier, "old") && accepts(&verifier, "new"));
        verifier.rotate(secret("newer"), [secret("new")]);
        assert!(accepts(&verifier, "newer") && accepts(&verifier, "new"));
    }
}
