use std::{fmt, time::SystemTime};

use bondify_core::{Cancelled, Confirmed};
use serde::Serialize;

use crate::{Persona, clock::unix_ms};

/// The body of an event, its fields in the order of Bondify's documentation.
///
/// ```
/// use std::time::SystemTime;
///
/// use bondify_core::Secret;
/// use bondify_emulator::{EventBody, Persona};
///
/// let ada = Persona::default();
/// let body = EventBody::confirmed("sess_1", &ada, SystemTime::now()).to_json();
/// let signature = Secret::new("whsec_test")?.sign(body.as_bytes());
/// # Ok::<(), bondify_core::SecretError>(())
/// ```
#[derive(Clone, Serialize)]
#[must_use]
pub struct EventBody<'a> {
    pub(crate) event: &'a str,
    pub(crate) session_token: &'a str,
    #[serde(flatten)]
    user: Option<&'a Persona>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<u64>,
}

impl<'a> EventBody<'a> {
    /// The body of `auth.confirmed`, with the phone number if the persona has one.
    pub fn confirmed(session_token: &'a str, persona: &'a Persona, at: SystemTime) -> Self {
        let confirmed_at = Some(unix_ms(at));
        let (event, user) = (Confirmed::NAME, Some(persona));
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

    /// The JSON to sign and send.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event is plain data")
    }
}

impl fmt::Debug for EventBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBody").field("event", &self.event).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn confirmed(persona: &Persona) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700);
        EventBody::confirmed("sess_1", persona, at).to_json()
    }

    #[test]
    fn a_confirmation_is_as_documented() {
        assert_eq!(
            confirmed(&Persona::new("7123456789", "Ada").username("ada")),
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789","telegram_name":"Ada","telegram_username":"ada","confirmed_at":1700}"#
        );
    }

    #[test]
    fn a_missing_username_is_null() {
        let body = confirmed(&Persona::new("1", "Ada"));
        assert!(body.contains(r#""telegram_username":null,"confirmed_at""#), "{body}");
    }

    #[test]
    fn a_phone_number_follows_the_username() {
        let ada = Persona::new("1", "Ada").phone("+44");
        assert!(confirmed(&ada).contains(r#"null,"telegram_phone":"+44","confirmed_at""#));
    }

    #[test]
    fn a_cancellation_is_as_documented() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(5);
        assert_eq!(
            EventBody::cancelled("sess_1", at).to_json(),
            r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":5}"#
        );
    }
}
