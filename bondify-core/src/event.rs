//! Events, and the signed JSON that they are parsed from.

mod kinds;
mod parse;
mod payload;
#[cfg(feature = "serde")]
mod serde;
mod telegram_id;
mod user;

#[cfg(feature = "proof")]
pub(crate) use self::payload::{Field, Payload, Text};
pub use self::{
    kinds::{Cancelled, Confirmed, Event, Unknown},
    parse::ParseError,
    telegram_id::{MalformedTelegramId, TelegramId},
    user::TelegramUser,
};
