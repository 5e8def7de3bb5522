use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The Telegram user who taps Confirm.
///
/// In the JSON of a control call every field is optional: id and name are then those of the
/// [default](Persona::default), username and phone are absent. `Debug` shows no field.
///
/// ```
/// use bondify_emulator::Persona;
///
/// let ada = Persona::new("7123456789", "Ada Lovelace").username("ada").phone("+441234567890");
/// assert_eq!(ada.telegram_username.as_deref(), Some("ada"));
///
/// for persona in Persona::samples() {
///     println!("{}", persona.telegram_name); // each is unusual in another way
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Persona {
    /// Decimal digits.
    pub telegram_id: String,
    /// The display name, any Unicode but not empty.
    pub telegram_name: String,
    /// The username without `@`.
    #[serde(default)]
    pub telegram_username: Option<String>,
    /// The phone number. Bondify sends it for projects with `req_phone` on the plans Pro and
    /// Business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram_phone: Option<String>,
}

impl Persona {
    /// Creates a persona without username and phone.
    #[must_use]
    pub fn new(telegram_id: impl Into<String>, telegram_name: impl Into<String>) -> Self {
        Self {
            telegram_id: telegram_id.into(),
            telegram_name: telegram_name.into(),
            telegram_username: None,
            telegram_phone: None,
        }
    }

    /// Sets the username, without `@`.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.telegram_username = Some(username.into());
        self
    }

    /// Sets the phone number.
    #[must_use]
    pub fn phone(mut self, phone: impl Into<String>) -> Self {
        self.telegram_phone = Some(phone.into());
        self
    }

    /// Personas to test an app with. Each has another property that apps handle wrongly: a
    /// missing username, a long name, a name written from right to left, emoji, markup.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let long = "Wolfeschlegelsteinhausenbergerdorff ".repeat(3);
        vec![
            Self::default(),
            Self::new("100000001", "Grace Hopper").username("grace"),
            Self::new("100000002", "Alan Turing").phone("+441632960002"),
            Self::new("100000003", "Madonna"),
            Self::new("100000004", long.trim()).username("the_longest_username_there_can_b"),
            Self::new("100000005", "فاطمة الفهري").username("fatima").phone("+212632960005"),
            Self::new("7999999999", "🦊 Renée 👩‍👩‍👧‍👦").username("fox"),
            Self::new("100000007", "<b>Bobby</b> \"Tables\" & 'Co'").username("bobby"),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let id = &self.telegram_id;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::BadRequest("telegram_id must be a string of decimal digits"));
        }
        if self.telegram_name.is_empty() {
            return Err(Error::BadRequest("telegram_name must not be empty"));
        }
        Ok(())
    }
}

/// Ada Lovelace, with a username and a phone number.
impl Default for Persona {
    fn default() -> Self {
        Self::new("7123456789", "Ada Lovelace").username("ada").phone("+441632960001")
    }
}

impl fmt::Debug for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persona").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_valid_and_has_its_own_id() {
        let samples = Persona::samples();
        let mut ids: Vec<_> = samples.iter().map(|persona| &persona.telegram_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), samples.len());
        samples.iter().for_each(|persona| persona.check().unwrap());
    }

    #[test]
    fn missing_json_fields_have_defaults() {
        let persona: Persona = serde_json::from_str(r#"{"telegram_name":"Bob"}"#).unwrap();
        assert_eq!(persona, Persona::new(Persona::default().telegram_id, "Bob"));
    }

    #[test]
    fn ids_are_digits_and_names_are_not_empty() {
        for id in ["", "12a", "-1", "１２"] {
            assert!(Persona::new(id, "Ada").check().is_err(), "{id:?}");
        }
        assert!(Persona::new("1", "").check().is_err());
    }

    #[test]
    fn debug_shows_no_personal_data() {
        assert_eq!(format!("{:?}", Persona::default()), "Persona { .. }");
    }
}
