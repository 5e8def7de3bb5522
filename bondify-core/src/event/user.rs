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
    #[must_use]
    pub fn id(&self) -> &TelegramId {
        &self.id
    }

    /// The display name: any Unicode text, which users can change at any time.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.within(&self.source)
    }

    /// The username without `@`, if the user has one.
    #[must_use]
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
    #[must_use]
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
            .text_or_empty(source)
            .ok_or(ParseError::Field { name: "telegram_name", expected: "a string" })?;
        Ok(Self {
            id,
            name,
            username: payload.telegram_username.text(source),
            phone: payload.telegram_phone.text(source),
            source: source.clone(),
        })
    }

    /// The same user, with `source` as the body that it belongs to.
    #[cfg(feature = "proof")]
    pub(super) fn within(&self, source: ByteString) -> Self {
        Self {
            id: self.id.clone(),
            name: Text::owned(self.name()),
            username: self.username().map(Text::owned),
            phone: self.phone().map(Text::owned),
            source,
        }
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
