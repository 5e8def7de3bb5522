use std::fmt;

use bytestring::ByteString;

use super::{error::ParseError, payload::Payload, telegram_id::TelegramId};

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
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TelegramUser {
    id: TelegramId,
    name: ByteString,
    username: Option<ByteString>,
    phone: Option<ByteString>,
}

impl TelegramUser {
    /// The Telegram id, the stable key of an account.
    pub fn id(&self) -> &TelegramId {
        &self.id
    }

    /// The display name: any Unicode text, which users can change at any time.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The username without `@`, if the user has one.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
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
        self.phone.as_deref()
    }

    /// Reads the user of a body or of a proof's claims.
    pub(crate) fn read(payload: &Payload<'_>, body: &ByteString) -> Result<Self, ParseError> {
        let id = payload.telegram_id.telegram_id().ok_or(ParseError::Field {
            name: "telegram_id",
            expected: "a non-empty string or a whole number",
        })?;
        let name = payload
            .telegram_name
            .mended(body)
            .ok_or(ParseError::Field { name: "telegram_name", expected: "a string" })?;
        let username = payload.telegram_username.mended(body);
        Ok(Self {
            id,
            name,
            username: username.filter(|username| !username.is_empty()),
            phone: payload.telegram_phone.text(body),
        })
    }
}

impl fmt::Debug for TelegramUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelegramUser").finish_non_exhaustive()
    }
}
