//! The contract's rules for the fields of an event and of a proof, applied by the independent reader.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::json::{self, Json, Whole};

pub(crate) const FIELDS: &[&str] = &[
    "event",
    "session_token",
    "telegram_id",
    "telegram_name",
    "telegram_username",
    "telegram_phone",
    "confirmed_at",
    "cancelled_at",
    "project_id",
    "iat",
    "exp",
    "nbf",
    "new",
];

/// The fields of a JSON object.
pub(crate) struct Fields<'a>(BTreeMap<Vec<u16>, Json<'a>>);

impl<'a> Fields<'a> {
    /// Reads `body`, and compares the result with `serde_json::Value` if that accepts the body too.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let fields = std::str::from_utf8(body).ok().and_then(json::object);
        if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
            assert_eq!(fields.is_some(), value.is_object(), "the two judges disagree");
            let (fields, object) = (fields.iter().flatten(), value.as_object());
            for (name, field) in fields {
                let name = String::from_utf16(name).expect("serde_json accepts Unicode only");
                let same = object.and_then(|object| object.get(&name)).expect("is there");
                assert_eq!(field.text().as_deref(), same.as_str(), "the two judges disagree");
            }
        }
        fields.map(Self)
    }

    fn get(&self, name: &str) -> &Json<'a> {
        let name: Vec<_> = name.encode_utf16().collect();
        self.0.get(&name).unwrap_or(&Json::Null)
    }

    /// A non-empty string of Unicode text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).text().filter(|text| !text.is_empty())
    }

    /// An id: a non-empty string of Unicode text, or a whole number in digits.
    pub(crate) fn id(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Json::Number(number) => number.parse::<u64>().ok().map(|number| number.to_string()),
            _ => self.text(name),
        }
    }

    /// A string that a person chose. Parts that are not Unicode are replaced.
    pub(crate) fn name(&self, name: &str) -> Option<String> {
        self.get(name).mended()
    }

    pub(crate) fn whole(&self, name: &str) -> Whole {
        self.get(name).whole()
    }

    /// A time in seconds. The value of a time with a fraction is not compared.
    pub(crate) fn seconds(&self, name: &str) -> Whole {
        match (self.whole(name), self.get(name)) {
            (Whole::No, Json::Number(number)) if number.contains(['.', 'e', 'E']) => Whole::Unsure,
            (whole, _) => whole,
        }
    }

    pub(crate) fn is_absent(&self, name: &str) -> bool {
        *self.get(name) == Json::Null
    }
}

/// Whether `time` is the value of the field, or the value is not compared.
pub(crate) fn is_time(whole: Whole, time: Option<SystemTime>, unit: fn(u64) -> Duration) -> bool {
    match whole {
        Whole::No => time.is_none(),
        Whole::Exactly(number) => time == SystemTime::UNIX_EPOCH.checked_add(unit(number)),
        Whole::Unsure => true,
    }
}
