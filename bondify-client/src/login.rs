//! Conversion of the API's responses into events.

use std::time::SystemTime;

use bondify_core::{Cancelled, Confirmed, Event, ParseError, TelegramId};
use serde_json::{Value, json};

use crate::{Error, wire::Text};

/// The user's fields in a response of the API.
pub(crate) struct UserFields {
    pub(crate) telegram_id: Option<TelegramId>,
    pub(crate) telegram_name: Option<Text>,
    pub(crate) telegram_username: Option<Text>,
    pub(crate) telegram_phone: Option<String>,
}

impl UserFields {
    /// The event that the login's webhook delivers. An error names the field that is missing.
    pub(crate) fn confirmed(self, session_token: &str, at: SystemTime) -> Result<Confirmed, Error> {
        let text = |text: Option<Text>| text.map(|text| text.0);
        let event = event(json!({
            "event": Confirmed::NAME,
            "session_token": session_token,
            "telegram_id": self.telegram_id.as_ref().map(TelegramId::as_str),
            "telegram_name": text(self.telegram_name),
            "telegram_username": text(self.telegram_username),
            "telegram_phone": self.telegram_phone,
            "confirmed_at": millis(at),
        }))?;
        match event {
            Event::Confirmed(confirmed) => Ok(confirmed),
            _ => Err(Error::field("event")),
        }
    }
}

/// The event that the cancellation's webhook delivers.
pub(crate) fn cancelled(session_token: &str, at: SystemTime) -> Result<Event, Error> {
    event(json!({
        "event": Cancelled::NAME,
        "session_token": session_token,
        "cancelled_at": millis(at),
    }))
}

/// Parses the fields as core parses a delivery, so that each has the same form and meaning.
fn event(fields: Value) -> Result<Event, Error> {
    Event::from_trusted(fields.to_string()).map_err(|error| match error {
        ParseError::Field { name, .. } => Error::field(name),
        _ => Error::field("event"),
    })
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
