//! JSON values in all forms that Bondify's API may send.
//!
//! The sources differ in forms, and drivers of SQL databases return big integers, counts and booleans in
//! forms of their own. So a response is a struct of [`Maybe`] fields: a field that is not readable is
//! absent, and only the fields that a call cannot do without make it fail.

use std::{
    fmt,
    str::{self, FromStr},
    time::{Duration, SystemTime},
};

use bondify_core::TelegramId;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};
use serde_json::value::RawValue;
use time::{OffsetDateTime, PrimitiveDateTime, format_description::well_known::Iso8601};

use crate::Error;

/// A field that has any JSON value, is `null` or is absent. Reading it never fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Maybe<T> {
    /// Returns this field, or the same field under its other name.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// Requires a value. The error names the field.
    pub(crate) fn required(self, name: &'static str) -> Result<T, Error> {
        self.0.ok_or_else(|| Error::field(name))
    }
}

impl Maybe<Time> {
    /// The time, if it is plausible.
    pub(crate) fn known(self) -> Option<SystemTime> {
        self.0?.known()
    }
}

impl<'de, T: Read> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A raw value, because serde_json does not read every string and number that JavaScript writes.
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(T::read(json.get())))
    }
}

/// A type that is read from one JSON value.
pub(crate) trait Read: Sized {
    fn read(json: &str) -> Option<Self>;
}

/// The text of a number, a boolean or a string without escapes.
fn scalar(json: &str) -> &str {
    let text = json.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    text.map_or(json, str::trim)
}

/// A text that may be empty, such as a name that a user chose. Half a surrogate pair is replaced by
/// U+FFFD: a name that was truncated in the middle of an emoji ends in one, and JavaScript writes that
/// into JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Text(pub(crate) String);

impl Read for Text {
    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

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
        Ok(Text(mended(bytes)))
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

/// A text that is not empty, such as an id, a token or a link. A whole number is read as its digits.
impl Read for String {
    fn read(json: &str) -> Option<Self> {
        let digits = || json.parse().ok().map(|number: u64| number.to_string());
        Text::read(json).map(|text| text.0).or_else(digits).filter(|text| !text.is_empty())
    }
}

impl Read for TelegramId {
    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

/// A count. A negative number, by which an API says "no limit", is none.
impl Read for u64 {
    fn read(json: &str) -> Option<Self> {
        // A float above 2^53 is not exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let float = || f64::read(json).filter(|number| (0.0..=EXACT).contains(number));
        scalar(json).parse().ok().or_else(|| float().map(|number| number as u64))
    }
}

impl Read for f64 {
    fn read(json: &str) -> Option<Self> {
        f64::from_str(scalar(json)).ok().filter(|number| number.is_finite())
    }
}

/// A boolean, or a number that is 0 if the flag is off.
impl Read for bool {
    fn read(json: &str) -> Option<Self> {
        match scalar(json) {
            "true" => Some(true),
            "false" => Some(false),
            _ => f64::read(json).map(|number| number != 0.0),
        }
    }
}

/// A time: Unix milliseconds, or ISO 8601 with a `T` or a space. A time without a zone is UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Time {
    Known(SystemTime),
    /// A number that is not plausible in milliseconds, and its likely unit.
    InUnit(&'static str),
}

impl Time {
    /// The time, if it is plausible.
    pub(crate) fn known(self) -> Option<SystemTime> {
        match self {
            Self::Known(time) => Some(time),
            Self::InUnit(_) => None,
        }
    }

    /// The likely unit of a number that is not plausible in milliseconds.
    pub(crate) fn unit(self) -> Option<&'static str> {
        match self {
            Self::Known(_) => None,
            Self::InUnit(unit) => Some(unit),
        }
    }

    /// Reads a number as the time that it is in milliseconds, seconds and so on: the unit in which it is
    /// between 2001 and 5138.
    fn from_number(number: u64) -> Option<Self> {
        match number {
            1_000_000_000..100_000_000_000 => Some(Self::InUnit("seconds")),
            1_000_000_000_000..100_000_000_000_000 => {
                let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(number))?;
                Some(Self::Known(time))
            }
            100_000_000_000_000..100_000_000_000_000_000 => Some(Self::InUnit("microseconds")),
            100_000_000_000_000_000.. => Some(Self::InUnit("nanoseconds")),
            _ => None,
        }
    }

    fn from_iso8601(text: &str) -> Option<Self> {
        let text = text.replacen(' ', "T", 1);
        let time = OffsetDateTime::parse(&text, &Iso8601::PARSING).ok().or_else(|| {
            let local = PrimitiveDateTime::parse(&text, &Iso8601::PARSING).ok()?;
            Some(local.assume_utc())
        })?;
        let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
        let since_epoch = Duration::from_millis(u64::try_from(millis).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch).map(Self::Known)
    }
}

impl Read for Time {
    fn read(json: &str) -> Option<Self> {
        match u64::read(json) {
            Some(number) => Self::from_number(number),
            None => Self::from_iso8601(scalar(json)),
        }
    }
}

/// Reads an object of [`Maybe`] fields. serde would read a list as well, by the order of the fields.
pub(crate) fn object<T: DeserializeOwned>(json: &str) -> Option<T> {
    json.starts_with('{').then(|| serde_json::from_str(json).ok())?
}

impl Read for Vec<Box<RawValue>> {
    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: Read>(json: &str) -> Option<T> {
        let Maybe(value) = serde_json::from_str(json).unwrap();
        value
    }

    fn millis(json: &str) -> Option<u128> {
        let time = read::<Time>(json)?.known()?;
        Some(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn times_are_milliseconds_or_iso_8601() {
        for time in [
            "1700000000123",
            "1.700000000123e12",
            r#""1700000000123""#,
            r#"" 1700000000123 ""#,
            r#""2023-11-14T22:13:20.123Z""#,
            r#""2023-11-14T22:13:20.123456Z""#,
            r#""2023-11-14T22:13:20.123+00:00""#,
            r#""2023-11-15T01:13:20.123+03:00""#,
            r#""2023-11-14T22:13:20.123""#,
            r#""2023-11-14 22:13:20.123""#,
            r#""2023-11-14 22:13:20.123Z""#,
            r#""2023-11-14 22:13:20.123+00:00""#,
            r#""20231114T221320.123Z""#,
        ] {
            assert_eq!(millis(time), Some(1_700_000_000_123), "{time}");
        }
        assert_eq!(millis(r#""2023-11-14T22:13:20Z""#), Some(1_700_000_000_000));
        assert_eq!(millis(r#""1970-01-01T00:00:01Z""#), Some(1_000));
    }

    #[test]
    fn other_values_are_no_times() {
        for value in [
            "null",
            "-1",
            "0",
            "7",
            "1e300",
            "1e400",
            "-0.5",
            "true",
            "[]",
            "{}",
            r#""""#,
            r#"" ""#,
            r#""-1""#,
            r#""yesterday""#,
            r#""1923-11-14T22:13:20Z""#,
            r#""\ud83d""#,
        ] {
            assert_eq!(read::<Time>(value), None, "{value}");
        }
    }

    #[test]
    fn a_number_that_is_no_plausible_time_in_milliseconds_names_its_likely_unit() {
        for (number, unit) in [
            ("1000000000", "seconds"),
            ("1700000000", "seconds"),
            (r#""1700000000""#, "seconds"),
            ("1700000000.123", "seconds"),
            ("1700000000123456", "microseconds"),
            ("1700000000123456789", "nanoseconds"),
        ] {
            assert_eq!(read::<Time>(number), Some(Time::InUnit(unit)), "{number}");
        }
    }

    #[test]
    fn numbers_are_read_from_strings_and_floats() {
        for seven in ["7", "7.0", r#""7""#, r#"" 7""#, "7e0"] {
            assert_eq!(read::<u64>(seven), Some(7), "{seven}");
            assert_eq!(read::<f64>(seven), Some(7.0), "{seven}");
        }
        assert_eq!(read::<u64>(r#""18446744073709551615""#), Some(u64::MAX));
        assert_eq!(read::<f64>(r#""66.7""#), Some(66.7));
        for none in ["null", "-1", r#""-1""#, r#""""#, r#""many""#, "1e300", "1e400", "[7]"] {
            assert_eq!(read::<u64>(none), None, "{none}");
        }
        for none in ["null", r#""""#, r#""NaN""#, "1e400", "{}"] {
            assert_eq!(read::<f64>(none), None, "{none}");
        }
    }

    #[test]
    fn flags_are_booleans_or_numbers() {
        for (json, expected) in [
            ("true", Some(true)),
            ("false", Some(false)),
            ("1", Some(true)),
            ("0", Some(false)),
            ("7", Some(true)),
            (r#""1""#, Some(true)),
            (r#""0""#, Some(false)),
            (r#""true""#, Some(true)),
            (r#""false""#, Some(false)),
            ("null", None),
            (r#""""#, None),
            (r#""yes""#, None),
            ("[]", None),
        ] {
            assert_eq!(read::<bool>(json), expected, "{json}");
        }
    }

    #[test]
    fn an_id_is_a_text_that_is_not_empty_or_a_whole_number() {
        assert_eq!(read::<String>(r#""proj_1""#).as_deref(), Some("proj_1"));
        assert_eq!(read::<String>("17").as_deref(), Some("17"));
        for none in ["null", r#""""#, "-1", "1.5", "true", "[]", "{}"] {
            assert_eq!(read::<String>(none), None, "{none}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_one_replacement_character() {
        for (json, expected) in [
            (r#""Ada \ud83e\udd80 \ud83e""#, "Ada 🦀 \u{fffd}"),
            (r#""\ud83e""#, "\u{fffd}"),
            (r#""\udd80x""#, "\u{fffd}x"),
            (r#""\ud83e\ud83e\udd80""#, "\u{fffd}🦀"),
        ] {
            assert_eq!(read::<Text>(json).unwrap().0, expected, "{json}");
        }
        assert_eq!(mended(b"a\xffb\xe2\x82"), "a\u{fffd}b\u{fffd}");
        assert_eq!(read::<Text>("7"), None);
        assert_eq!(read::<Text>("[65]"), None);
    }

    proptest! {
        #[test]
        fn every_plausible_millisecond_is_kept(expected in 1_000_000_000_000..100_000_000_000_000_u64) {
            prop_assert_eq!(millis(&expected.to_string()), Some(expected.into()));
            prop_assert_eq!(millis(&format!("\"{expected}\"")), Some(expected.into()));
        }

        #[test]
        fn parsing_any_text_as_a_time_does_not_panic(text in ".*") {
            let _any = Time::from_iso8601(&text);
        }

        #[test]
        fn text_that_is_valid_is_kept(text in ".*") {
            prop_assert_eq!(mended(text.as_bytes()), text);
        }

        #[test]
        fn mending_any_bytes_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _text = mended(&bytes);
        }
    }
}
