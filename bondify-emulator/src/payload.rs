use std::time::SystemTime;

use bondify_core::{Cancelled, Confirmed};
use serde::Serialize;

use crate::{Login, clock::unix_ms};

/// The body of a delivery, field by field in the order of Bondify's documentation.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Payload<'a> {
    Confirmed {
        event: &'a str,
        session_token: &'a str,
        #[serde(flatten)]
        user: User<'a>,
        confirmed_at: u64,
    },
    Cancelled {
        event: &'a str,
        session_token: &'a str,
        cancelled_at: u64,
    },
}

/// A user as webhooks, the public API and proofs describe one.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct User<'a> {
    telegram_id: &'a str,
    telegram_name: &'a str,
    telegram_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    telegram_phone: Option<&'a str>,
}

impl<'a> User<'a> {
    pub(crate) fn new(login: &'a Login, shares_phone: bool) -> Self {
        let persona = &login.persona;
        Self {
            telegram_id: &persona.telegram_id,
            telegram_name: &persona.telegram_name,
            telegram_username: persona.telegram_username.as_deref(),
            telegram_phone: persona.telegram_phone.as_deref().filter(|_| shares_phone),
        }
    }
}

impl<'a> Payload<'a> {
    pub(crate) fn confirmed(session_token: &'a str, user: User<'a>, at: SystemTime) -> Self {
        let confirmed_at = unix_ms(at);
        Self::Confirmed { event: Confirmed::NAME, session_token, user, confirmed_at }
    }

    pub(crate) fn cancelled(session_token: &'a str, at: SystemTime) -> Self {
        Self::Cancelled { event: Cancelled::NAME, session_token, cancelled_at: unix_ms(at) }
    }

    /// The same under another name.
    pub(crate) fn named(mut self, name: &'a str) -> Self {
        let (Self::Confirmed { event, .. } | Self::Cancelled { event, .. }) = &mut self;
        *event = name;
        self
    }

    pub(crate) fn event(&self) -> &'a str {
        let (Self::Confirmed { event, .. } | Self::Cancelled { event, .. }) = self;
        event
    }

    pub(crate) fn session_token(&self) -> &'a str {
        let (Self::Confirmed { session_token, .. } | Self::Cancelled { session_token, .. }) = self;
        session_token
    }

    pub(crate) fn to_body(&self) -> String {
        serde_json::to_string(self).expect("is plain data")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Persona;

    fn login(persona: Persona) -> Login {
        Login { persona, confirmed_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700) }
    }

    fn confirmed(login: &Login, shares_phone: bool) -> String {
        Payload::confirmed("sess_1", User::new(login, shares_phone), login.confirmed_at).to_body()
    }

    #[test]
    fn a_confirmation_is_as_documented() {
        assert_eq!(
            confirmed(&login(Persona::new("7123456789", "Ada").username("ada")), false),
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789","telegram_name":"Ada","telegram_username":"ada","confirmed_at":1700}"#
        );
    }

    #[test]
    fn a_missing_username_is_null() {
        let body = confirmed(&login(Persona::new("1", "Ada")), true);
        assert!(body.contains(r#""telegram_username":null,"confirmed_at""#), "{body}");
    }

    #[test]
    fn a_phone_number_is_passed_on_only_where_it_may_be() {
        let ada = login(Persona::new("1", "Ada").phone("+44"));
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
