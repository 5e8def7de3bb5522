//! The flat JSON object in what Bondify signs, a delivery's body and a proof's claims.
//!
//! One pass into borrowed fields that accept any type, so that what is not asked for may
//! be anything, and no error ever quotes the payload.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    ops::Range,
    time::{Duration, SystemTime},
};

use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

macro_rules! payload {
    ($($(#[$cfg:meta])? $field:ident: $from:ident,)+) => {
        /// Every field known, flat: an internally tagged enum would buffer the whole
        /// object first and take twice as long.
        #[derive(Default)]
        pub(crate) struct Payload<'a> {
            $($(#[$cfg])? pub(crate) $field: Field<'a>,)+
        }

        impl<'a> Payload<'a> {
            /// In place, unlike what serde derives, which moves every field twice.
            fn fill<A: MapAccess<'a>>(&mut self, mut object: A) -> Result<(), A::Error> {
                while let Some(name) = object.next_key::<&str>()? {
                    match name {
                        $($(#[$cfg])? stringify!($field) => self.$field = object.next_value()?,)+
                        _ => {
                            object.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }

            /// What JavaScript, in which Bondify and its SDKs are written, takes for JSON
            /// beyond what serde does: half a surrogate pair, as is left of an emoji by
            /// cutting a name short, and numbers out of range.
            fn parse_like_javascript(body: &'a str) -> Option<Self> {
                let fields: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(body).ok()?;
                let field = |name, from: fn(&'a RawValue) -> Field<'a>| {
                    fields.get(name).map_or(Field::Other, |value| from(value))
                };
                Some(Self { $($(#[$cfg])? $field: field(stringify!($field), Field::$from),)+ })
            }
        }
    };
}

payload! {
    event: strict,
    session_token: strict,
    telegram_id: strict,
    telegram_name: lossy,
    telegram_username: lossy,
    telegram_phone: strict,
    confirmed_at: strict,
    cancelled_at: strict,
    #[cfg(feature = "proof")]
    project_id: strict,
    #[cfg(feature = "proof")]
    iat: strict,
    #[cfg(feature = "proof")]
    exp: strict,
}

impl<'a> Payload<'a> {
    /// `None` if `body` is not one JSON object.
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        let mut payload = Self::default();
        let mut json = serde_json::Deserializer::from_str(body);
        match json.deserialize_map(&mut payload).and_then(|()| json.end()) {
            Ok(()) => Some(payload),
            Err(_) => Self::parse_like_javascript(body),
        }
    }
}

impl<'de> Visitor<'de> for &mut Payload<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.fill(object)
    }
}

/// A string in a body: where it is, unless it held an escape. Unlike a share in the body's
/// memory it costs nothing to make and to drop.
#[derive(Clone)]
pub(crate) enum Text {
    Part(Range<usize>),
    Unescaped(Box<str>),
}

impl Text {
    fn part_of(body: &str, part: &str) -> Self {
        let start = part.as_ptr().addr() - body.as_ptr().addr();
        Self::Part(start..start + part.len())
    }

    /// The text, given the body that it is of.
    pub(crate) fn within<'a>(&'a self, body: &'a str) -> &'a str {
        match self {
            Self::Part(range) => &body[range.clone()],
            Self::Unescaped(text) => text,
        }
    }

    /// The text with a share in the body's memory.
    pub(crate) fn shared(&self, body: &ByteString) -> ByteString {
        match self {
            Self::Part(range) => body.slice_ref(&body[range.clone()]),
            Self::Unescaped(text) => (&**text).into(),
        }
    }
}

/// A JSON value of which only strings and whole numbers matter.
#[derive(Default)]
pub(crate) enum Field<'a> {
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
            Self::Text(Cow::Owned(text)) => Some(Text::Unescaped(text.as_str().into())),
            _ => None,
        }
    }

    /// A time in Unix milliseconds.
    pub(crate) fn millis(&self) -> Option<SystemTime> {
        self.since_epoch(Duration::from_millis)
    }

    /// A time in Unix seconds.
    #[cfg(feature = "proof")]
    pub(crate) fn seconds(&self) -> Option<SystemTime> {
        self.since_epoch(Duration::from_secs)
    }

    fn since_epoch(&self, unit: fn(u64) -> Duration) -> Option<SystemTime> {
        match self {
            Self::Number(number) => SystemTime::UNIX_EPOCH.checked_add(unit(*number)),
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
