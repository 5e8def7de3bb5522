//! Events, and the signed JSON that they are parsed from.

mod error;
mod kinds;
mod parse;
mod payload;
mod secret_name;
#[cfg(feature = "serde")]
mod serde;
mod telegram_id;
mod user;

#[cfg(feature = "proof")]
pub(crate) use self::payload::{Field, Payload, Text};
pub(crate) use self::secret_name::SecretName;
pub use self::{
    error::ParseError,
    kinds::{Cancelled, Confirmed, Event, Unknown},
    telegram_id::{MalformedTelegramId, TelegramId},
    user::TelegramUser,
};
