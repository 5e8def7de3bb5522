use std::{
    fmt,
    hash::{Hash, Hasher},
};

use bytestring::ByteString;

use super::{
    error::ParseError,
    payload::{Payload, Text},
    telegram_id::TelegramId,
};

/// The Telegram user who confirmed a login.
///
/// Clones are cheap: they share the body or the claims that the user was read from. These stay in memory
/// as long as one of the clones. `Debug` shows nothing personal.
///
/// ```
/// use bondify_core::TelegramUser;
///
/// fn greeting(user: &TelegramUser) -> String {
///     match user.username() {
///         Some(username) => format!("{} (@{username})", user.name()),
///         None => user.name().to_owned(),
///     }
/// }
/// ```
#[derive(Clone)]
pub struct TelegramUser {
    /// The body or the claims that contain the texts.
    pub(super) source: ByteString,
    id: TelegramId,
    name: Text,
    username: Option<Text>,
    phone: Option<Text>,
}

impl TelegramUser {
    /// The Telegram id, the stable key of an account.
    pub fn id(&self) -> &TelegramId {
        &self.id
    }

    /// The display name: any Unicode text, which users can change at any time.
    pub fn name(&self) -> &str {
        self.name.within(&self.source)
    }

    /// The username without `@`, if the user has one.
    pub fn username(&self) -> Option<&str> {
        Some(self.username.as_ref()?.within(&self.source))
    }

    /// The phone number, if the project's plan includes it and the user shared it.
    ///
    /// ```
    /// use bondify_core::TelegramUser;
    ///
    /// fn contact(user: &TelegramUser) -> String {
    ///     user.phone().map_or_else(|| "no phone number".to_owned(), |phone| format!("tel:{phone}"))
    /// }
    /// ```
    pub fn phone(&self) -> Option<&str> {
        Some(self.phone.as_ref()?.within(&self.source))
    }

    /// Reads the user of a body or of a proof's claims.
    pub(crate) fn read(payload: &Payload<'_>, source: &ByteString) -> Result<Self, ParseError> {
        let id = payload.telegram_id.telegram_id().ok_or(ParseError::Field {
            name: "telegram_id",
            expected: "a non-empty string or a whole number",
        })?;
        let name = payload
            .telegram_name
            .mended(source)
            .ok_or(ParseError::Field { name: "telegram_name", expected: "a string" })?;
        let username = payload.telegram_username.mended(source);
        Ok(Self {
            id,
            name,
            username: username.filter(|username| !username.within(source).is_empty()),
            phone: payload.telegram_phone.text(source),
            source: source.clone(),
        })
    }

    fn fields(&self) -> (&TelegramId, &str, Option<&str>, Option<&str>) {
        (&self.id, self.name(), self.username(), self.phone())
    }
}

impl PartialEq for TelegramUser {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Eq for TelegramUser {}

impl Hash for TelegramUser {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields().hash(state);
    }
}

impl fmt::Debug for TelegramUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelegramUser").finish_non_exhaustive()
    }
}
