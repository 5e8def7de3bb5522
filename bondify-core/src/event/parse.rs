//! Parsing of a signed body into an [`Event`].

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    error::ParseError,
    kinds::{Cancelled, Confirmed, Event, SecretName, Unknown},
    payload::{Field, Payload},
    user::TelegramUser,
};

impl Event {
    /// Parses the JSON of an event that was verified before, as [`raw`](Self::raw) returned it: one that
    /// you read from your own queue, table or log.
    ///
    /// **It checks no signature.** You are responsible for the JSON. Never pass the body of a request:
    /// anyone could log in as anyone. [`Verifier`](crate::Verifier) and
    /// [`Bondify`](crate::Bondify) verify bodies.
    ///
    /// The age is not checked either. The event has the same [`key`](Self::key) as the delivery.
    ///
    /// ```
    /// use bondify_core::Event;
    ///
    /// let stored = r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":1700000000123}"#;
    /// let event = Event::from_trusted(stored)?;
    /// assert_eq!(event.session_token(), Some("sess_1"));
    /// # Ok::<(), bondify_core::ParseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ParseError::NotAnObject`] if it is not one JSON object in UTF-8.
    /// - [`ParseError::Field`] if a field that the event must have is missing, empty or of another type.
    pub fn from_trusted(json: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse(json.into(), None)
    }

    /// Parses a body whose signature has been checked.
    pub(crate) fn parse(raw: Bytes, signed_by: SecretName) -> Result<Self, ParseError> {
        let body = ByteString::try_from(raw).map_err(|_| ParseError::NotAnObject)?;
        let mut payload = Payload::default();
        payload.read(&body).ok_or(ParseError::NotAnObject)?;
        let text = |field: &Field<'_>| field.text(&body);
        let required = |name, field: &Field<'_>| {
            text(field).ok_or(ParseError::Field { name, expected: "a non-empty string" })
        };
        let time = |name, field: &Field<'_>| {
            field.millis().ok_or(ParseError::Field { name, expected: "Unix milliseconds" })
        };

        Ok(match payload.event.as_str().unwrap_or_default() {
            Confirmed::NAME => Self::Confirmed(Confirmed {
                session_token: required("session_token", &payload.session_token)?,
                user: TelegramUser::read(&payload, &body)?,
                confirmed_at: time("confirmed_at", &payload.confirmed_at)?,
                signed_by,
                body,
            }),
            Cancelled::NAME => Self::Cancelled(Cancelled {
                session_token: required("session_token", &payload.session_token)?,
                cancelled_at: time("cancelled_at", &payload.cancelled_at)?,
                signed_by,
                body,
            }),
            _ => Self::Unknown(Unknown {
                name: required("event", &payload.event)?,
                session_token: text(&payload.session_token),
                occurred_at: payload.confirmed_at.millis().max(payload.cancelled_at.millis()),
                signed_by,
                body,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn parse(json: &str) -> Result<Event, ParseError> {
        Event::from_trusted(Bytes::copy_from_slice(json.as_bytes()))
    }

    fn millis(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_confirmed_event_with_all_fields() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789",
                "telegram_name":"\u0130lker \"🦀\"","telegram_username":"ilker",
                "telegram_phone":"+905550000000","confirmed_at":1700000000123,"new":{"x":[1]}}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert_eq!(login.session_token(), "sess_1");
        assert_eq!(login.user().id().as_str(), "7123456789");
        assert_eq!(login.user().name(), "İlker \"🦀\"");
        assert_eq!(login.user().username(), Some("ilker"));
        assert_eq!(login.user().phone(), Some("+905550000000"));
        assert_eq!(login.confirmed_at(), millis(1_700_000_000_123));
    }

    #[test]
    fn a_confirmed_event_with_the_required_fields_only() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"s","telegram_id":"1",
                "telegram_name":"","telegram_username":null,"confirmed_at":1.7e12}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert_eq!(login.user().name(), "");
        assert_eq!(login.user().username(), None);
        assert_eq!(login.user().phone(), None);
        assert_eq!(login.confirmed_at(), millis(1_700_000_000_000));
    }

    #[test]
    fn a_numeric_telegram_id_is_exact() {
        // A body with a space is read by serde_json, one without by the faster reader.
        let id = |number: &str, space: &str| {
            let json = format!(
                r#"{{"event":"auth.confirmed","session_token":"s","telegram_id":{space}{number},"telegram_name":"","confirmed_at":1}}"#
            );
            Some(parse(&json).ok()?.user()?.id().to_string())
        };
        for space in ["", " "] {
            for number in ["7", "7123456789", "9007199254740993", "18446744073709551615"] {
                assert_eq!(id(number, space).as_deref(), Some(number));
            }
            for other in ["7.5", "7.0", "7e9", "-7", "18446744073709551616", "null", "[7]"] {
                assert_eq!(id(other, space), None, "{other}");
            }
        }
    }

    #[test]
    fn a_cancelled_event() {
        let event =
            parse(r#"{"event":"auth.cancelled","session_token":"s","cancelled_at":1}"#).unwrap();
        assert_eq!(event.name(), "auth.cancelled");
        assert_eq!(event.session_token(), Some("s"));
        assert_eq!(event.occurred_at(), Some(millis(1)));
    }

    #[test]
    fn an_unknown_event_may_hold_anything() {
        let json =
            r#"{"event":"auth.renamed","session_token":7,"telegram_id":{},"confirmed_at":"x"}"#;
        let event = parse(json).unwrap();
        let Event::Unknown(unknown) = &event else { panic!("{event:?}") };
        assert_eq!(unknown.name(), "auth.renamed");
        assert_eq!(unknown.session_token(), None);
        assert_eq!(event.occurred_at(), None);
        assert_eq!(event.raw(), json.as_bytes());
    }

    #[test]
    fn events_of_one_session_and_bodies_without_a_session_have_different_keys() {
        let key = |json: &str| parse(json).unwrap().key();
        let confirmed = key(r#"{"event":"auth.confirmed","session_token":"s","telegram_id":"1",
                "telegram_name":"","confirmed_at":1}"#);
        let cancelled = key(r#"{"event":"auth.cancelled","session_token":"s","cancelled_at":1}"#);
        assert_ne!(confirmed, cancelled);
        let later = key(r#"{"event":"auth.cancelled","session_token":"s","cancelled_at":2}"#);
        assert_eq!(cancelled, later);
        assert_ne!(key(r#"{"event":"a","x":1}"#), key(r#"{"event":"a","x":2}"#));
    }

    #[test]
    fn says_which_field_is_wrong() {
        let field = |json: &str| match parse(json) {
            Err(ParseError::Field { name, .. }) => name,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(field("{}"), "event");
        assert_eq!(field(r#"{"event":""}"#), "event");
        assert_eq!(field(r#"{"event":1}"#), "event");
        assert_eq!(field(r#"{"event":"auth.cancelled","cancelled_at":1}"#), "session_token");
        assert_eq!(
            field(r#"{"event":"auth.cancelled","session_token":"","cancelled_at":1}"#),
            "session_token"
        );
        for time in ["null", "-1", "1.5", "\"1\"", "1e300", "[]", "true"] {
            let json = format!(
                r#"{{"event":"auth.cancelled","session_token":"s","cancelled_at":{time}}}"#
            );
            assert_eq!(field(&json), "cancelled_at");
        }
    }

    #[test]
    fn refuses_bodies_that_are_not_one_json_object() {
        let deep = format!(r#"{{"event":"a","x":{}}}"#, "[".repeat(100_000));
        for json in [
            "",
            "null",
            "[]",
            r#"["auth.cancelled","s","1","","","",1,1]"#,
            "\"event\"",
            "{",
            "{}{}",
            "{\"event\":\"a\",\"a\tb\":1}",
            "{\"event\":\"a\",\"b\":\"\u{1f}\"}",
            &deep,
        ] {
            assert_eq!(parse(json).unwrap_err(), ParseError::NotAnObject);
        }
        assert_eq!(
            Event::from_trusted(Bytes::from_static(b"{\"event\":\"\xff\"}")).unwrap_err(),
            ParseError::NotAnObject
        );
    }

    #[test]
    fn json_that_javascript_accepts_is_accepted() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"s","telegram_id":"1","x":1e400,
                "telegram_name":"A \\ud83d\\u0130 \ud83d","telegram_username":"\udc00",
                "confirmed_at":1,"confirmed_at":2}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert_eq!(login.user().name(), "A \\ud83d\\u0130 \u{fffd}");
        assert_eq!(login.user().username(), Some("\u{fffd}"));
        assert_eq!(login.confirmed_at(), millis(2));
    }

    #[test]
    fn half_a_surrogate_pair_in_a_name_changes_no_other_field() {
        let event = parse(
            r#"{"\ud83d":1,"event":"auth.cancelled","session_token":"s","cancelled_at\udd80":2,
                "cancelled_at":3}"#,
        );
        assert_eq!(event.unwrap().occurred_at(), Some(millis(3)));
    }

    #[test]
    fn invalid_unicode_in_a_session_token_is_not_replaced() {
        let event = parse(r#"{"event":"auth.renamed","session_token":"\ud83d"}"#).unwrap();
        assert_eq!(event.session_token(), None);
        let event =
            parse(r#"{"event":"auth.cancelled","session_token":"\ud83d","cancelled_at":1}"#);
        assert!(event.is_err());
    }

    #[test]
    fn an_unknown_event_happened_at_the_later_of_its_times() {
        let event = parse(r#"{"event":"auth.revoked","confirmed_at":1,"cancelled_at":2}"#);
        assert_eq!(event.unwrap().occurred_at(), Some(millis(2)));
    }

    #[test]
    fn nothing_personal_is_shown() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"sess_hush","telegram_id":"424242",
                "telegram_name":"Hush Name","telegram_username":"hush","telegram_phone":"+49hush","confirmed_at":1}"#,
        )
        .unwrap();
        let Event::Confirmed(login) = &event else { panic!("{event:?}") };
        let shown = format!(
            "{event} {event:?} {event:#?} {login:?} {:?} {:?}",
            login.user(),
            login.user().id()
        );
        for hidden in ["hush", "Hush", "424242"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(shown.starts_with("auth.confirmed "));
    }
}
