//! JSON values, in all forms that Bondify's API sends.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bondify_core::TelegramId;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use time::{OffsetDateTime, PrimitiveDateTime, format_description::well_known::Iso8601};

use crate::Error;

/// Text that users chose. Invalid Unicode is replaced by U+FFFD: a name that was truncated in the
/// middle of an emoji ends in half a surrogate pair, and JavaScript writes that into JSON.
#[derive(Debug, Default)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, because serde_json then does not check that the string is UTF-8.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// A time, in Unix milliseconds or ISO 8601. A time without a zone is UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) SystemTime);

impl Time {
    fn from_millis(millis: u64) -> Option<Self> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)).map(Self)
    }

    fn from_iso8601(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Iso8601::PARSING).ok().or_else(|| {
            let local = PrimitiveDateTime::parse(text, &Iso8601::PARSING).ok()?;
            Some(local.assume_utc())
        })?;
        let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
        Self::from_millis(u64::try_from(millis).ok()?)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unix milliseconds or ISO 8601")
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Time, E> {
        Time::from_millis(millis).ok_or_else(|| E::custom("a time out of range"))
    }

    fn visit_f64<E: de::Error>(self, millis: f64) -> Result<Time, E> {
        // Whole numbers are exact up to 2^53.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if (0.0..=EXACT).contains(&millis) {
            self.visit_u64(millis as u64)
        } else {
            Err(E::custom("a time out of range"))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        Time::from_iso8601(text).ok_or_else(|| E::custom("neither a date nor a time"))
    }
}

/// Reads an optional time. Any value that is not a time is read as `None`.
pub(crate) fn any_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Time>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(Time::deserialize(value).ok())
}

/// Reads a flag that is a boolean or a number. A number other than 0 is `true`.
pub(crate) fn number_or_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(f64),
    }
    Ok(match Flag::deserialize(deserializer)? {
        Flag::Bool(flag) => flag,
        Flag::Number(number) => number != 0.0,
    })
}

/// Reads an optional id, a string or a whole number. Any other value is read as `None`.
pub(crate) fn any_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<TelegramId>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(TelegramId::deserialize(value).ok())
}

/// Reads a [`Text`] into a plain string.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

/// Requires a text that is present and not empty.
pub(crate) fn required(name: &'static str, text: Option<String>) -> Result<String, Error> {
    non_empty(text).ok_or(Error::field(name))
}

/// Treats an empty text as absent.
pub(crate) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(json: &str) -> Option<u128> {
        let time: Time = serde_json::from_str(json).ok()?;
        Some(time.0.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn times_are_milliseconds_or_iso_8601() {
        for time in [
            "1700000000123",
            "1.700000000123e12",
            r#""2023-11-14T22:13:20.123Z""#,
            r#""2023-11-14T22:13:20.123456Z""#,
            r#""2023-11-14T22:13:20.123+00:00""#,
            r#""2023-11-15T01:13:20.123+03:00""#,
            r#""2023-11-14T22:13:20.123""#,
            r#""20231114T221320.123Z""#,
        ] {
            assert_eq!(millis(time), Some(1_700_000_000_123), "{time}");
        }
        assert_eq!(millis(r#""2023-11-14T22:13:20Z""#), Some(1_700_000_000_000));
    }

    #[test]
    fn other_values_are_no_times() {
        for value in [
            "-1",
            "1e300",
            "-0.5",
            "true",
            "[]",
            "{}",
            r#""""#,
            r#""1700000000123""#,
            r#""yesterday""#,
            r#""1923-11-14T22:13:20Z""#,
        ] {
            assert_eq!(millis(value), None, "{value}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        let text: Text = serde_json::from_str(r#""Ada \ud83e\udd80 \ud83e""#).unwrap();
        assert!(text.0.starts_with("Ada 🦀 \u{fffd}"), "{text:?}");
        assert!(serde_json::from_str::<Text>("7").is_err());
        assert!(serde_json::from_str::<Text>("[65]").is_err());
    }

    proptest! {
        #[test]
        fn every_millisecond_is_kept(expected in 0..=9_007_199_254_740_992_u64) {
            prop_assert_eq!(millis(&expected.to_string()), Some(expected.into()));
        }

        #[test]
        fn no_text_is_a_time_that_panics(text in ".*") {
            let _any = Time::from_iso8601(&text);
        }
    }
}
