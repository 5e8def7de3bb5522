//! Serialisation of events and ids, with the feature `serde`.

use std::{fmt, str};

use serde_core::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
    ser,
};
use serde_json::value::RawValue;

use super::{kinds::Event, telegram_id::TelegramId};

impl Serialize for Event {
    /// Writes the JSON object that was signed. In a format that is not human-readable it is a string.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = str::from_utf8(self.raw()).map_err(ser::Error::custom)?;
        if serializer.is_human_readable() {
            serde_json::from_str::<&RawValue>(json)
                .map_err(ser::Error::custom)?
                .serialize(serializer)
        } else {
            serializer.serialize_str(json)
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    /// Reads an event that you stored, with [`Event::from_trusted`]. It checks no signature, so never
    /// deserialise an event from a request: anyone could log in as anyone.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = if deserializer.is_human_readable() {
            Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?).into_string()
        } else {
            String::deserialize(deserializer)?
        };
        Self::from_trusted(json).map_err(de::Error::custom)
    }
}

impl Serialize for TelegramId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TelegramId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(IdVisitor)
        } else {
            deserializer.deserialize_str(IdVisitor)
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = TelegramId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Telegram id: a non-empty string or a whole number")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<TelegramId, E> {
        if id.is_empty() { Err(E::invalid_length(0, &self)) } else { Ok(TelegramId::sent(id)) }
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<TelegramId, E> {
        Ok(TelegramId::sent_as_number(id))
    }

    // For formats without unsigned integers, such as TOML.
    fn visit_i64<E: de::Error>(self, id: i64) -> Result<TelegramId, E> {
        // The value is not quoted in the error: an id is personal.
        u64::try_from(id)
            .map(TelegramId::sent_as_number)
            .map_err(|_| E::custom("a Telegram id is not negative"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BODY: &str = r#"{"event":"auth.confirmed","session_token":"s","telegram_id":7123456789,
        "telegram_name":"Ada \ud83d","new":[1e400],"confirmed_at":1}"#;

    #[test]
    fn an_event_is_the_json_that_was_signed() {
        let event = Event::from_trusted(BODY).unwrap();
        let job = serde_json::to_string(&[&event]).unwrap();
        assert_eq!(job, format!("[{BODY}]"));
        let [back] = serde_json::from_str::<[Event; 1]>(&job).unwrap();
        assert_eq!((back.raw(), back.key()), (event.raw(), event.key()));
        assert_eq!(back, event);
    }

    #[test]
    fn json_that_is_no_event_is_an_error_without_a_quote() {
        for json in [r#"{"event":"auth.confirmed","session_token":"hush"}"#, r#""hush""#, "{}"] {
            let error = serde_json::from_str::<Event>(json).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn an_id_is_a_string_and_read_from_a_number_too() {
        let id: TelegramId = serde_json::from_str("7123456789").unwrap();
        assert_eq!(serde_json::to_value(&id).unwrap(), json!("7123456789"));
        assert_eq!(serde_json::from_str::<TelegramId>("\"7123456789\"").unwrap(), id);
        assert_eq!(
            serde_json::from_value::<TelegramId>(json!(u64::MAX)).unwrap().as_str(),
            "18446744073709551615"
        );
        for other in [json!(""), json!(-1), json!(7.0), json!(null), json!([7]), Value::from(true)]
        {
            assert!(serde_json::from_value::<TelegramId>(other).is_err());
        }
    }
}
