//! The flat JSON object that Bondify signs: a delivery's body or a proof's claims.
//!
//! A field may have any type, since only the fields that are used are checked. No error quotes the
//! payload.

use std::{
    borrow::{Borrow, Cow},
    collections::HashMap,
    fmt, str,
    time::{Duration, SystemTime},
};

use serde_core::{
    Deserialize, Deserializer as _,
    de::{self, IgnoredAny, Visitor},
};
use serde_json::{Deserializer, value::RawValue};

use super::telegram_id::TelegramId;

macro_rules! payload {
    ($($(#[$cfg:meta])? $field:ident: $from:ident,)+) => {
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
                // `Name` does not check its bytes, so this checks that control characters are escaped.
                let _valid: IgnoredAny = serde_json::from_str(body).ok()?;
                let fields: HashMap<Name, &'a RawValue> = serde_json::from_str(body).ok()?;
                let field = |name, from: fn(&'a RawValue) -> Field<'a>| {
                    fields.get(str::as_bytes(name)).map_or(Field::Absent, |value| from(value))
                };
                *self = Self { $($(#[$cfg])? $field: field(stringify!($field), Field::$from),)+ };
                Some(())
            }
        }
    };
}

payload! {
    event: strict,
    session_token: strict,
    telegram_id: id,
    telegram_name: lossy,
    telegram_username: lossy,
    telegram_phone: strict,
    confirmed_at: strict,
    cancelled_at: strict,
    #[cfg(feature = "proof")]
    project_id: strict,
    #[cfg(feature = "proof")]
    iat: fractional,
    #[cfg(feature = "proof")]
    exp: fractional,
    #[cfg(feature = "proof")]
    nbf: fractional,
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

/// A string in a body, as its range in the body if the body is plain. Unlike a reference-counted slice of
/// the body, a range costs nothing to create and to drop.
///
/// It is packed into 16 bytes with room for `Option`'s tag, so that it is returned in registers. That
/// saves 25 of the 365 ns of a signature check and parse, compared to a plain `Part(u32, u32)`.
#[derive(Clone)]
pub(crate) enum Text {
    /// The start of the range in the upper half, its end in the lower half.
    Part(u64),
    Owned(Box<Box<str>>),
}

impl Text {
    fn part_of(body: &str, part: &str) -> Self {
        let start = part.as_ptr().addr() - body.as_ptr().addr();
        match (u32::try_from(start), u32::try_from(start + part.len())) {
            (Ok(start), Ok(end)) => Self::Part(u64::from(start) << 32 | u64::from(end)),
            _ => Self::owned(part),
        }
    }

    pub(super) fn owned(text: &str) -> Self {
        Self::Owned(Box::new(text.into()))
    }

    /// The text, given the body that it was read from.
    pub(crate) fn within<'a>(&'a self, body: &'a str) -> &'a str {
        match self {
            Self::Part(range) => &body[(range >> 32) as usize..*range as u32 as usize],
            Self::Owned(text) => text,
        }
    }
}

/// A JSON value. Only strings and numbers are kept.
#[derive(Default)]
pub(crate) enum Field<'a> {
    /// A missing field, or `null`.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(u64),
    /// A number that is not whole, read by [`fractional`](Self::fractional) only.
    #[cfg(feature = "proof")]
    Fraction(f64),
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

    fn strict(value: &'a RawValue) -> Self {
        // Some encoders write whole numbers as `1.7e12`. Whole floats are exact up to 2^53.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=EXACT).contains(number);
        let json = value.get();
        if let Ok(text) = serde_json::from_str(json) {
            Self::Text(Cow::Owned(text))
        } else if let Ok(number) = serde_json::from_str(json) {
            Self::Number(number)
        } else if let Some(number) = serde_json::from_str(json).ok().filter(is_whole) {
            Self::Number(number as u64)
        } else if json == "null" {
            Self::Absent
        } else {
            Self::Other
        }
    }

    /// Reads a value as [`strict`](Self::strict) does, and also a number with a fraction that is not
    /// negative: the times of a JWT may have fractions.
    #[cfg(feature = "proof")]
    fn fractional(value: &'a RawValue) -> Self {
        match (Self::strict(value), serde_json::from_str::<f64>(value.get())) {
            (Self::Other, Ok(number)) if number >= 0.0 => Self::Fraction(number),
            (field, _) => field,
        }
    }

    /// Reads a string, or a number in digits. Unlike [`strict`](Self::strict) it accepts no number that is
    /// read as a float, since an id must be exact.
    fn id(value: &'a RawValue) -> Self {
        let json = value.get();
        match serde_json::from_str(json) {
            Ok(number) => Self::Number(number),
            Err(_) => {
                serde_json::from_str(json).map_or(Self::Other, |text| Self::Text(Cow::Owned(text)))
            }
        }
    }

    /// Reads a string in which invalid Unicode is replaced by U+FFFD.
    fn lossy(value: &'a RawValue) -> Self {
        // serde_json does not require a byte string to be UTF-8.
        let mut string = Deserializer::from_str(value.get());
        match string.deserialize_byte_buf(BytesVisitor) {
            Ok(bytes) => Self::Text(mended(&bytes).into()),
            Err(_) => Self::Other,
        }
    }

    /// A non-empty string.
    pub(crate) fn text(&self, body: &'a str) -> Option<Text> {
        match self {
            Self::Text(text) if text.is_empty() => None,
            _ => self.text_or_empty(body),
        }
    }

    pub(crate) fn text_or_empty(&self, body: &'a str) -> Option<Text> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(Text::part_of(body, text)),
            Self::Text(Cow::Owned(text)) => Some(Text::owned(text)),
            _ => None,
        }
    }

    /// An id: a non-empty string, or a whole number.
    pub(super) fn telegram_id(&self) -> Option<TelegramId> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(TelegramId::sent(text)),
            Self::Number(number) => Some(TelegramId::sent_as_number(*number)),
            _ => None,
        }
    }

    /// A time in Unix milliseconds.
    pub(crate) fn millis(&self) -> Option<SystemTime> {
        self.since_epoch(Duration::from_millis)
    }

    /// A time in Unix seconds, which may have a fraction.
    #[cfg(feature = "proof")]
    pub(crate) fn seconds(&self) -> Option<SystemTime> {
        match self {
            Self::Fraction(seconds) => {
                SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(*seconds).ok()?)
            }
            _ => self.since_epoch(Duration::from_secs),
        }
    }

    #[cfg(feature = "proof")]
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn since_epoch(&self, unit: fn(u64) -> Duration) -> Option<SystemTime> {
        match self {
            Self::Number(number) => SystemTime::UNIX_EPOCH.checked_add(unit(*number)),
            _ => None,
        }
    }
}

/// A field's name. Like any string, it may contain half a surrogate pair.
#[derive(PartialEq, Eq, Hash)]
struct Name(Vec<u8>);

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor).map(Self)
    }
}

/// Replaces each invalid sequence by one U+FFFD. serde_json writes half a surrogate pair as three bytes.
fn mended(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        let error = match str::from_utf8(bytes) {
            Ok(valid) => return text + valid,
            Err(error) => error,
        };
        let (valid, invalid) = bytes.split_at(error.valid_up_to());
        text.push_str(&String::from_utf8_lossy(valid));
        text.push(char::REPLACEMENT_CHARACTER);
        let length = match invalid {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            _ => error.error_len().unwrap_or(invalid.len()),
        };
        bytes = &invalid[length..];
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
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    type Read = [(Option<String>, Option<SystemTime>); 4];

    /// The values that the fields are read as.
    fn read(payload: &Payload<'_>, body: &str) -> Read {
        let text =
            |field: &Field<'_>| field.text_or_empty(body).map(|text| text.within(body).to_owned());
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
            let mut payload = Payload::default();
            payload.read_plain(body).expect("plain");
            assert!(
                payload.event.text(body).is_some() && payload.session_token.text(body).is_some()
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
            let (mut plain, mut any) = (Payload::default(), Payload::default());
            if plain.read_plain(&body).is_some() {
                prop_assert!(any.read_any(&body).is_some(), "{}", body);
                prop_assert_eq!(read(&any, &body), read(&plain, &body), "{}", body);
            }
        }
    }
}
