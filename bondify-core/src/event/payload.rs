//! From a signed body to an [`Event`].
//!
//! One pass over the JSON into borrowed fields that accept any type, so that an
//! unknown event's fields may be anything, and no error ever quotes the payload.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Cancelled, Confirmed, Event, TelegramId, Unknown};

/// A signed body that is not an event. Says what is wrong, never what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not a JSON object in UTF-8.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that the event must have is missing, empty or of another type.
    #[error("`{name}` is missing or not {expected}")]
    #[non_exhaustive]
    Field {
        /// The field's name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl Event {
    /// Parses a body whose signature has been checked.
    pub(crate) fn parse(raw: Bytes) -> Result<Self, ParseError> {
        let body = ByteString::try_from(raw.clone()).map_err(|_| ParseError::NotAnObject)?;
        let payload = Payload::parse(&body)?;
        let text = |field: &Field<'_>| field.text(&body);
        let required = |name, field: &Field<'_>| {
            text(field).ok_or(ParseError::Field { name, expected: "a non-empty string" })
        };
        let time = |name, field: &Field<'_>| {
            field.time().ok_or(ParseError::Field { name, expected: "Unix milliseconds" })
        };

        let name = required("event", &payload.event)?;
        Ok(match &*name {
            Confirmed::NAME => Self::Confirmed(Confirmed {
                session_token: required("session_token", &payload.session_token)?,
                telegram_id: TelegramId(required("telegram_id", &payload.telegram_id)?),
                telegram_name: payload
                    .telegram_name
                    .text_or_empty(&body)
                    .ok_or(ParseError::Field { name: "telegram_name", expected: "a string" })?,
                telegram_username: text(&payload.telegram_username),
                telegram_phone: text(&payload.telegram_phone),
                confirmed_at: time("confirmed_at", &payload.confirmed_at)?,
                raw,
            }),
            Cancelled::NAME => Self::Cancelled(Cancelled {
                session_token: required("session_token", &payload.session_token)?,
                cancelled_at: time("cancelled_at", &payload.cancelled_at)?,
                raw,
            }),
            _ => Self::Unknown(Unknown {
                name,
                session_token: text(&payload.session_token),
                occurred_at: payload.confirmed_at.time().max(payload.cancelled_at.time()),
                raw,
            }),
        })
    }
}

/// The fields of every event known, flat: an internally tagged enum would buffer
/// the whole object first and take twice as long.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    event: Field<'a>,
    #[serde(borrow, default)]
    session_token: Field<'a>,
    #[serde(borrow, default)]
    telegram_id: Field<'a>,
    #[serde(borrow, default)]
    telegram_name: Field<'a>,
    #[serde(borrow, default)]
    telegram_username: Field<'a>,
    #[serde(borrow, default)]
    telegram_phone: Field<'a>,
    #[serde(borrow, default)]
    confirmed_at: Field<'a>,
    #[serde(borrow, default)]
    cancelled_at: Field<'a>,
}

impl<'a> Payload<'a> {
    fn parse(body: &'a str) -> Result<Self, ParseError> {
        // serde would take an array's elements for the fields in their order.
        if !body.trim_ascii_start().starts_with('{') {
            return Err(ParseError::NotAnObject);
        }
        serde_json::from_str(body)
            .or_else(|_| Self::parse_like_javascript(body))
            .map_err(|_| ParseError::NotAnObject)
    }

    /// What JavaScript, in which Bondify and its SDKs are written, takes for JSON beyond
    /// what serde does: half a surrogate pair, as is left of an emoji by cutting a name
    /// short, numbers out of range, and a field twice.
    fn parse_like_javascript(body: &'a str) -> serde_json::Result<Self> {
        let fields: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(body)?;
        let field = |name| fields.get(name).map_or(Field::Other, |value| Field::strict(value));
        let name = |name| fields.get(name).map_or(Field::Other, |value| Field::lossy(value));
        Ok(Self {
            event: field("event"),
            session_token: field("session_token"),
            telegram_id: field("telegram_id"),
            telegram_name: name("telegram_name"),
            telegram_username: name("telegram_username"),
            telegram_phone: field("telegram_phone"),
            confirmed_at: field("confirmed_at"),
            cancelled_at: field("cancelled_at"),
        })
    }
}

/// A JSON value of which only strings and whole numbers matter.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Other,
    Text(Cow<'a, str>),
    Number(u64),
}

impl<'a> Field<'a> {
    fn strict(value: &'a RawValue) -> Self {
        serde_json::from_str(value.get()).unwrap_or_default()
    }

    /// Replaces what is no Unicode by U+FFFD.
    fn lossy(value: &'a RawValue) -> Self {
        // Of a string's bytes serde_json does not ask to be UTF-8.
        let mut string = serde_json::Deserializer::from_str(value.get());
        match string.deserialize_byte_buf(BytesVisitor) {
            Ok(bytes) => Self::Text(String::from_utf8_lossy(&bytes).into_owned().into()),
            Err(_) => Self::Other,
        }
    }

    /// A non-empty string. It shares `body`'s memory unless it held an escape.
    fn text(&self, body: &ByteString) -> Option<ByteString> {
        self.text_or_empty(body).filter(|text| !text.is_empty())
    }

    fn text_or_empty(&self, body: &ByteString) -> Option<ByteString> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(body.slice_ref(text)),
            Self::Text(Cow::Owned(text)) => Some(text.as_str().into()),
            _ => None,
        }
    }

    fn time(&self) -> Option<SystemTime> {
        match self {
            Self::Number(millis) => {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(*millis))
            }
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_i64<E: de::Error>(self, _negative: i64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // Some encoders write whole numbers as `1.7e12`. 2^53 bounds what is exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
            Ok(Field::Number(number as u64))
        } else {
            Ok(Field::Other)
        }
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(bytes.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Event, ParseError> {
        Event::parse(Bytes::copy_from_slice(json.as_bytes()))
    }

    fn millis(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_confirmed_event_with_everything() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789",
                "telegram_name":"\u0130lker \"🦀\"","telegram_username":"ilker",
                "telegram_phone":"+905550000000","confirmed_at":1700000000123,"new":{"x":[1]}}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert_eq!(login.session_token(), "sess_1");
        assert_eq!(login.telegram_id().as_str(), "7123456789");
        assert_eq!(login.telegram_name(), "İlker \"🦀\"");
        assert_eq!(login.telegram_username(), Some("ilker"));
        assert_eq!(login.telegram_phone(), Some("+905550000000"));
        assert_eq!(login.confirmed_at(), millis(1_700_000_000_123));
    }

    #[test]
    fn a_confirmed_event_with_the_least() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"s","telegram_id":"1",
                "telegram_name":"","telegram_username":null,"confirmed_at":1.7e12}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert_eq!(login.telegram_name(), "");
        assert_eq!(login.telegram_username(), None);
        assert_eq!(login.telegram_phone(), None);
        assert_eq!(login.confirmed_at(), millis(1_700_000_000_000));
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
    fn events_of_one_session_and_bodies_without_one_have_keys_of_their_own() {
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
    fn refuses_what_is_not_one_json_object() {
        let deep = format!(r#"{{"event":"a","x":{}}}"#, "[".repeat(100_000));
        for json in [
            "",
            "null",
            "[]",
            r#"["auth.cancelled","s","1","","","",1,1]"#,
            "\"event\"",
            "{",
            "{}{}",
            &deep,
        ] {
            assert_eq!(parse(json).unwrap_err(), ParseError::NotAnObject);
        }
        assert_eq!(
            Event::parse(Bytes::from_static(b"{\"event\":\"\xff\"}")).unwrap_err(),
            ParseError::NotAnObject
        );
    }

    #[test]
    fn what_javascript_takes_for_json_is_taken() {
        let event = parse(
            r#"{"event":"auth.confirmed","session_token":"s","telegram_id":"1","x":1e400,
                "telegram_name":"A \\ud83d\\u0130 \ud83d","telegram_username":"\udc00",
                "confirmed_at":1,"confirmed_at":2}"#,
        );
        let Ok(Event::Confirmed(login)) = event else { panic!("{event:?}") };
        assert!(login.telegram_name().starts_with("A \\ud83d\\u0130 \u{fffd}"));
        assert!(login.telegram_username().unwrap().starts_with('\u{fffd}'));
        assert_eq!(login.confirmed_at(), millis(2));
    }

    #[test]
    fn what_makes_the_key_is_never_mended() {
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
                "telegram_name":"Hush Name","telegram_phone":"+49hush","confirmed_at":1}"#,
        )
        .unwrap();
        let Event::Confirmed(login) = &event else { panic!("{event:?}") };
        let shown = format!("{event} {event:?} {event:#?} {login:?} {:?}", login.telegram_id());
        for hidden in ["hush", "Hush", "424242"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(shown.starts_with("auth.confirmed "));
    }
}
