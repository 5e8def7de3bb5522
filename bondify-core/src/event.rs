//! Events, and the signed JSON that they are parsed from.

mod kinds;
mod parse;
mod payload;

#[cfg(feature = "proof")]
pub(crate) use self::payload::{Field, Payload, Text};
pub use self::{
    kinds::{Cancelled, Confirmed, Event, TelegramId, Unknown},
    parse::ParseError,
};
