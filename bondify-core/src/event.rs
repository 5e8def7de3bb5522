//! Events, and the signed JSON that they are parsed from.

mod error;
mod kinds;
mod parse;
mod payload;
#[cfg(feature = "serde")]
mod serde;
mod telegram_id;
mod user;

pub(crate) use self::kinds::SecretName;
#[cfg(feature = "proof")]
pub(crate) use self::payload::{Field, Payload};
pub use self::{
    error::ParseError,
    kinds::{Cancelled, Confirmed, Event, Unknown},
    telegram_id::{MalformedTelegramId, TelegramId},
    user::TelegramUser,
};
