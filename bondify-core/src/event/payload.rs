//! The flat JSON object that Bondify signs: a delivery's body or a proof's claims.
//!
//! A field may have any type, since only the fields that are used are checked. No error quotes the
//! payload.

use std::{
    borrow::Cow,
    collections::HashMap,
    time::{Duration, SystemTime},
};

use bytestring::ByteString;
use serde_bytes::{ByteBuf, Bytes};
use serde_core::de::IgnoredAny;
use serde_json::value::RawValue;

use super::telegram_id::TelegramId;

macro_rules! payload {
    ($($(#[$cfg:meta])? $field:ident,)+) => {
        /// The values of all known fields.
        #[derive(Default)]
        pub(crate) struct Payload<'a> {
            $($(#[$cfg])? pub(crate) $field: Field<'a>,)+
        }

        impl<'a> Payload<'a> {
            /// Reads the field name that `json` begins with. Returns the place for its value and the
            /// rest of `json`. The place is `None` for an unknown field. Comparing with every known name
            /// takes less time than searching for the end of the name.
            fn field(&mut self, json: &'a str) -> Option<(Option<&mut Field<'a>>, &'a str)> {
                $(
                    $(#[$cfg])?
                    if let Some(value) = json.strip_prefix(concat!('"', stringify!($field), "\":")) {
                        return Some((Some(&mut self.$field), value));
                    }
                )+
                let (_unknown, after) = string(json)?;
                Some((None, after.strip_prefix(':')?))
            }

            /// Reads everything that JavaScript, in which Bondify and its SDKs are written, accepts as
            /// JSON. That is more than serde_json accepts in strings and numbers: half a surrogate
            /// pair, which remains when a name is truncated inside an emoji, and a number out of range.
            fn read_any(&mut self, body: &'a str) -> Option<()> {
                // Bytes are not checked, so this checks that control characters are escaped.
                let _valid: IgnoredAny = serde_json::from_str(body).ok()?;
                let fields: HashMap<ByteBuf, &'a RawValue> = serde_json::from_str(body).ok()?;
                let field = |name| {
                    let value = fields.get(Bytes::new(str::as_bytes(name)));
                    value.map_or(Field::Absent, |value| Field::parse(value))
                };
                *self = Self { $($(#[$cfg])? $field: field(stringify!($field)),)+ };
                Some(())
            }
        }
    };
}

payload! {
    event,
    session_token,
    telegram_id,
    telegram_name,
    telegram_username,
    telegram_phone,
    confirmed_at,
    cancelled_at,
    #[cfg(feature = "proof")]
    project_id,
    #[cfg(feature = "proof")]
    iat,
    #[cfg(feature = "proof")]
    exp,
    #[cfg(feature = "proof")]
    nbf,
}

impl<'a> Payload<'a> {
    /// Reads all fields into `self`. `None` if `body` is not one JSON object. It does not return a new
    /// payload, since moving one takes as long as reading a field.
    pub(crate) fn read(&mut self, body: &'a str) -> Option<()> {
        self.read_plain(body).or_else(|| self.read_any(body))
    }

    /// Reads the form of nearly all bodies: one flat object of strings without escapes, whole numbers and
    /// `null`, without spaces between them. `None` if `body` has another form. It is faster than
    /// serde_json, which has to accept every form.
    fn read_plain(&mut self, body: &'a str) -> Option<()> {
        let plain = body.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'\\'));
        let mut rest = body.strip_prefix('{').filter(|_| plain)?;
        loop {
            let (field, value) = self.field(rest)?;
            let (value, after) = Field::parse_plain(value)?;
            if let Some(field) = field {
                *field = value;
            }
            if after == "}" {
                return Some(());
            }
            rest = after.strip_prefix(',')?;
        }
    }
}

/// The string that `json` begins with, and the rest of `json`.
fn string(json: &str) -> Option<(&str, &str)> {
    let text = json.strip_prefix('"')?;
    let (text, after) = text.split_at(text.bytes().position(|byte| byte == b'"')?);
    Some((text, &after[1..]))
}

/// A JSON value. Only strings and numbers are kept.
#[derive(Default)]
pub(crate) enum Field<'a> {
    /// A missing field, or `null`.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// A string in which invalid Unicode is replaced by U+FFFD.
    Mended(String),
    Number(u64),
    /// A number that is not written as a whole one, or too large.
    Float(f64),
    Other,
}

impl<'a> Field<'a> {
    /// The value that `json` begins with, and the rest of `json`.
    fn parse_plain(json: &'a str) -> Option<(Self, &'a str)> {
        if let Some((text, after)) = string(json) {
            return Some((Self::Text(text.into()), after));
        }
        if let Some(after) = json.strip_prefix("null") {
            return Some((Self::Absent, after));
        }
        let (digits, after) = json.split_at(json.bytes().position(|byte| !byte.is_ascii_digit())?);
        let number = digits.parse().ok().filter(|_| !digits.starts_with('0'))?;
        Some((Self::Number(number), after))
    }

    fn parse(value: &RawValue) -> Self {
        let json = value.get();
        if json == "null" {
            Self::Absent
        } else if let Ok(text) = serde_json::from_str(json) {
            Self::Text(Cow::Owned(text))
        } else if let Ok(number) = serde_json::from_str(json) {
            Self::Number(number)
        } else if let Ok(number) = serde_json::from_str(json) {
            Self::Float(number)
        } else if json.starts_with('"') {
            serde_json::from_str(json)
                .map_or(Self::Other, |text: ByteBuf| Self::Mended(mended(&text)))
        } else {
            Self::Other
        }
    }

    /// A non-empty string of valid Unicode.
    pub(crate) fn text(&self, body: &ByteString) -> Option<ByteString> {
        self.as_str().and_then(|_| self.mended(body))
    }

    /// The same, which is not a slice of the body.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A string, with U+FFFD in place of invalid Unicode.
    pub(super) fn mended(&self, body: &ByteString) -> Option<ByteString> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(body.slice_ref(text)),
            Self::Text(Cow::Owned(text)) | Self::Mended(text) => Some(text.as_str().into()),
            _ => None,
        }
    }

    /// An id: a non-empty string, or a whole number. A float is refused, since an id must be exact.
    pub(super) fn telegram_id(&self) -> Option<TelegramId> {
        match self {
            Self::Number(number) => Some(TelegramId::sent_as_number(*number)),
            _ => self.as_str().map(TelegramId::sent),
        }
    }

    /// A time in Unix milliseconds. Some encoders write whole numbers as `1.7e12`.
    pub(crate) fn millis(&self) -> Option<SystemTime> {
        const EXACT: f64 = 9_007_199_254_740_992.0; // whole floats are exact up to 2^53
        let millis = match self {
            Self::Number(number) => *number,
            Self::Float(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(number) => {
                *number as u64
            }
            _ => return None,
        };
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    }

    /// A time in Unix seconds, which may have a fraction.
    #[cfg(feature = "proof")]
    pub(crate) fn seconds(&self) -> Option<SystemTime> {
        let since_epoch = match self {
            Self::Number(number) => Duration::from_secs(*number),
            Self::Float(number) => Duration::try_from_secs_f64(*number).ok()?,
            _ => return None,
        };
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }
}

/// Replaces each half of a surrogate pair by one U+FFFD. serde_json writes it as three bytes.
fn mended(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Each of the three is invalid by itself. The first is this.
        if chunk.invalid() == [0xED] {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    type Read = [(Option<ByteString>, Option<SystemTime>); 4];

    /// The values that the fields are read as.
    fn read(payload: &Payload<'_>, body: &ByteString) -> Read {
        let text = |field: &Field<'_>| field.mended(body);
        [
            (text(&payload.event), None),
            (text(&payload.telegram_name), None),
            (text(&payload.confirmed_at), payload.confirmed_at.millis()),
            (text(&payload.cancelled_at), payload.cancelled_at.millis()),
        ]
    }

    #[test]
    fn bondifys_own_bodies_are_plain() {
        for body in [
            r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7","telegram_name":"Ada 🦀","telegram_username":null,"telegram_phone":"+905550000000","confirmed_at":1700000000123}"#,
            r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":1700000000123}"#,
        ] {
            let body = ByteString::from(body);
            let mut payload = Payload::default();
            payload.read_plain(&body).expect("plain");
            assert!(
                payload.event.text(&body).is_some() && payload.session_token.text(&body).is_some()
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Objects that are plain, or nearly so, with a character put where it may not belong.
        #[test]
        fn a_plain_body_is_read_as_serde_json_reads_it(
            fields in vec((
                select(vec!["event", "telegram_name", "confirmed_at", "cancelled_at", "new", ""]),
                select(vec![
                    "\"\"", "\"a\"", "\"İ🦀\"", "\"\\n\"", "\"\\ud83e\"", "0", "7", "07", "-1",
                    "1.5", "1e3", "18446744073709551615", "18446744073709551616", "null", "true",
                    "[]", "{}", "",
                ]),
            ), 0..5),
            between in select(vec!["", "", "", " ", "\n"]),
            comma in select(vec![",", ",", ",", "", ",,"]),
            (stray, at) in (select(vec!["", "", "", "\"", "\\", ",", ":", "}", "{", "7", "\t", "é"]), 0.0..=1.0),
        ) {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("\"{name}\":{between}{value}")).collect();
            let mut body = format!("{{{}}}", fields.join(comma));
            let at = (0..=body.len()).rev().find(|&place| {
                body.is_char_boundary(place) && place as f64 <= at * body.len() as f64
            });
            body.insert_str(at.unwrap_or(0), stray);
            let body = ByteString::from(body);
            let (mut plain, mut any) = (Payload::default(), Payload::default());
            if plain.read_plain(&body).is_some() {
                prop_assert!(any.read_any(&body).is_some(), "{}", body);
                prop_assert_eq!(read(&any, &body), read(&plain, &body), "{}", body);
            }
        }
    }
}
