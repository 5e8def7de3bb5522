use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::clock::{from_unix_ms, iso};

/// A way to answer where the sources of Bondify's API (its documentation, its official SDKs) differ or say
/// nothing.
///
/// Without a reading, the emulator answers as the types of the SDKs say, and adds the fields that only the
/// documentation has. A client that works under each reading works with every behaviour that these
/// sources allow.
///
/// Each variant documents its name on the command line.
///
/// ```
/// use bondify_emulator::{Emulator, Reading};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for reading in Reading::ALL {
///     let emulator = Emulator::builder().reading(reading).start().await?;
///     // Test your client with `emulator.url()`.
///     # drop(emulator);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reading {
    /// `no-status`: the answer for a confirmed session is the user and the proof, without a `status`.
    NoStatus,
    /// `used-at-once`: a session is used after the first answer that says that it is confirmed. If that
    /// answer is lost, the next one is `used`.
    UsedAtOnce,
    /// `end-codes`: expired and cancelled sessions are refused with `SESSION_EXPIRED` and
    /// `SESSION_CANCELLED`.
    EndCodes,
    /// `no-expiry`: a new session has no `expires_at`.
    NoExpiry,
    /// `text-times`: times are Unix milliseconds in strings.
    TextTimes,
    /// `iso-times`: times are ISO 8601.
    IsoTimes,
    /// `sql-values`: counts are strings, and flags are 0 and 1, as drivers of SQL databases return them.
    SqlValues,
    /// `docs-names`: only the names of fields that the documentation has, such as `id` and `is_active`.
    DocsNames,
    /// `sdk-names`: only the names of fields that the SDKs have, such as `project_id` and `active`.
    SdkNames,
    /// `pages`: a list of sessions has at most 100, and says with `has_more` that there are more.
    Pages,
}

impl Reading {
    /// The number of sessions in a list under [`Pages`](Self::Pages).
    pub(crate) const PAGE: usize = 100;

    /// Each reading.
    pub const ALL: [Self; 10] = [
        Self::NoStatus,
        Self::UsedAtOnce,
        Self::EndCodes,
        Self::NoExpiry,
        Self::TextTimes,
        Self::IsoTimes,
        Self::SqlValues,
        Self::DocsNames,
        Self::SdkNames,
        Self::Pages,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoStatus => "no-status",
            Self::UsedAtOnce => "used-at-once",
            Self::EndCodes => "end-codes",
            Self::NoExpiry => "no-expiry",
            Self::TextTimes => "text-times",
            Self::IsoTimes => "iso-times",
            Self::SqlValues => "sql-values",
            Self::DocsNames => "docs-names",
            Self::SdkNames => "sdk-names",
            Self::Pages => "pages",
        }
    }

    /// Changes an answer to this reading.
    fn apply(self, object: &mut Map<String, Value>) {
        match self {
            Self::NoStatus if object.contains_key("proof") && object["status"] == "confirmed" => {
                object.remove("status");
            }
            Self::NoExpiry => drop(object.remove("expires_at")),
            Self::TextTimes => change(object, true, |time| Some(time.as_u64()?.to_string().into())),
            Self::IsoTimes => {
                change(object, true, |time| Some(iso(from_unix_ms(time.as_u64()?)).into()));
            }
            Self::SqlValues => change(object, false, |value| match value {
                Value::Number(count) => Some(count.to_string().into()),
                Value::Bool(flag) => Some(u8::from(*flag).into()),
                _ => None,
            }),
            _ => {}
        }
    }
}

const TIMES: &[&str] = &["created_at", "confirmed_at", "cancelled_at", "expires_at"];

/// Changes the values of times, or of all other fields.
fn change(
    object: &mut Map<String, Value>,
    are_times: bool,
    changed: impl Fn(&Value) -> Option<Value>,
) {
    for (name, value) in object {
        if TIMES.contains(&&**name) == are_times
            && let Some(changed) = changed(value)
        {
            *value = changed;
        }
    }
}

/// The readings of an emulator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings(pub(crate) Vec<Reading>);

impl Readings {
    pub(crate) fn has(&self, reading: Reading) -> bool {
        self.0.contains(&reading)
    }

    /// An object with the fields of `both` sources, of the SDKs and of the documentation. A reading
    /// leaves one source out.
    pub(crate) fn named(&self, both: Value, sdk: Value, docs: Value) -> Value {
        let mut object = both;
        for (fields, other) in [(sdk, Reading::DocsNames), (docs, Reading::SdkNames)] {
            if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields)
                && !self.has(other)
            {
                object.extend(fields);
            }
        }
        object
    }

    /// Changes an answer of the API to the readings.
    pub(crate) fn apply(&self, answer: &mut Value) {
        match answer {
            Value::Object(object) => {
                self.0.iter().for_each(|reading| reading.apply(object));
                object.values_mut().for_each(|value| self.apply(value));
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.apply(value)),
            _ => {}
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error: the text names no [`Reading`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown reading, want one of {}", Reading::ALL.map(Reading::name).join(", "))]
pub struct UnknownReading;

impl FromStr for Reading {
    type Err = UnknownReading;

    fn from_str(name: &str) -> Result<Self, UnknownReading> {
        Self::ALL.into_iter().find(|reading| reading.name() == name).ok_or(UnknownReading)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(reading: Reading, mut answer: Value) -> Value {
        Readings(vec![reading]).apply(&mut answer);
        answer
    }

    #[test]
    fn each_reading_is_found_by_its_name() {
        for reading in Reading::ALL {
            assert_eq!(reading.to_string().parse(), Ok(reading));
        }
        let error = "none".parse::<Reading>().unwrap_err().to_string();
        assert!(error.contains("no-status") && error.contains("pages"), "{error}");
    }

    #[test]
    fn only_a_confirmed_answer_with_a_proof_loses_its_status() {
        let no_status = |answer| read(Reading::NoStatus, answer);
        assert_eq!(no_status(json!({"status": "confirmed", "proof": "p"})), json!({"proof": "p"}));
        for kept in [json!({"status": "used", "proof": "p"}), json!({"status": "confirmed"})] {
            assert_eq!(no_status(kept.clone()), kept);
        }
    }

    #[test]
    fn times_and_numbers_have_other_forms() {
        let answer =
            json!({"sessions": [{"created_at": 1_700_000_000_123_u64, "confirmed_at": null}]});
        let iso =
            json!({"sessions": [{"created_at": "2023-11-14T22:13:20.123Z", "confirmed_at": null}]});
        let text = json!({"sessions": [{"created_at": "1700000000123", "confirmed_at": null}]});
        assert_eq!(read(Reading::IsoTimes, answer.clone()), iso);
        assert_eq!(read(Reading::TextTimes, answer), text);
        let answer = json!({"active": true, "sessions_count": 3, "mau": {"over": 0}});
        let sql = json!({"active": 1, "sessions_count": "3", "mau": {"over": "0"}});
        assert_eq!(read(Reading::SqlValues, answer), sql);
    }
}
