use std::{fmt, time::SystemTime};

use bondify_core::{Cancelled, Confirmed};
use serde::Serialize;

use crate::{Persona, clock::unix_ms};

/// The JSON body of a delivery, its fields in the order of Bondify's documentation.
///
/// ```
/// use std::time::SystemTime;
///
/// use bondify_core::Secret;
/// use bondify_emulator::{Payload, Persona};
///
/// let ada = Persona::default();
/// let body = Payload::confirmed("sess_1", &ada, SystemTime::now()).to_body();
/// let signature = Secret::new("whsec_test")?.sign(body.as_bytes());
/// # Ok::<(), bondify_core::SecretError>(())
/// ```
#[derive(Clone, Serialize)]
#[must_use]
pub struct Payload<'a> {
    event: &'a str,
    session_token: &'a str,
    #[serde(flatten)]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<u64>,
}

/// A user in webhooks, in the public API and in proofs.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct User<'a> {
    telegram_id: &'a str,
    telegram_name: &'a str,
    telegram_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    telegram_phone: Option<&'a str>,
}

impl<'a> User<'a> {
    pub(crate) fn new(persona: &'a Persona, shares_phone: bool) -> Self {
        Self {
            telegram_id: &persona.telegram_id,
            telegram_name: &persona.telegram_name,
            telegram_username: persona.telegram_username.as_deref(),
            telegram_phone: persona.telegram_phone.as_deref().filter(|_| shares_phone),
        }
    }
}

impl<'a> Payload<'a> {
    /// The body of `auth.confirmed`, with the phone number if the persona has one.
    pub fn confirmed(session_token: &'a str, persona: &'a Persona, at: SystemTime) -> Self {
        Self::confirmed_by(session_token, User::new(persona, true), at)
    }

    pub(crate) fn confirmed_by(session_token: &'a str, user: User<'a>, at: SystemTime) -> Self {
        let confirmed_at = Some(unix_ms(at));
        let (event, user) = (Confirmed::NAME, Some(user));
        Self { event, session_token, user, confirmed_at, cancelled_at: None }
    }

    /// The body of `auth.cancelled`.
    pub fn cancelled(session_token: &'a str, at: SystemTime) -> Self {
        let cancelled_at = Some(unix_ms(at));
        let event = Cancelled::NAME;
        Self { event, session_token, user: None, confirmed_at: None, cancelled_at }
    }

    /// Replaces the name of the event.
    pub fn named(self, event: &'a str) -> Self {
        Self { event, ..self }
    }

    pub(crate) fn event(&self) -> &'a str {
        self.event
    }

    pub(crate) fn session_token(&self) -> &'a str {
        self.session_token
    }

    /// The bytes to sign and send.
    #[must_use]
    pub fn to_body(&self) -> String {
        serde_json::to_string(self).expect("a payload is plain data")
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("event", &self.event).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn confirmed(persona: &Persona, shares_phone: bool) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700);
        Payload::confirmed_by("sess_1", User::new(persona, shares_phone), at).to_body()
    }

    #[test]
    fn a_confirmation_is_as_documented() {
        assert_eq!(
            confirmed(&Persona::new("7123456789", "Ada").username("ada"), false),
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789","telegram_name":"Ada","telegram_username":"ada","confirmed_at":1700}"#
        );
    }

    #[test]
    fn a_missing_username_is_null() {
        let body = confirmed(&Persona::new("1", "Ada"), true);
        assert!(body.contains(r#""telegram_username":null,"confirmed_at""#), "{body}");
    }

    #[test]
    fn a_phone_number_is_sent_only_if_it_is_shared() {
        let ada = Persona::new("1", "Ada").phone("+44");
        assert!(confirmed(&ada, true).contains(r#"null,"telegram_phone":"+44","confirmed_at""#));
        assert!(!confirmed(&ada, false).contains("phone"));
    }

    #[test]
    fn a_cancellation_is_as_documented() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(5);
        assert_eq!(
            Payload::cancelled("sess_1", at).to_body(),
            r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":5}"#
        );
    }
}
