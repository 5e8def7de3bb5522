use std::{fmt, str::FromStr};

use smol_str::{SmolStr, ToSmolStr};

/// A Telegram user's id: decimal digits, stable for the life of the account.
///
/// It is a string, as on the wire. `Display` shows it, `Debug` does not. Clones are cheap and do not
/// keep the event's body in memory.
///
/// `parse` reads an id that people typed, which must be decimal digits. An id that Bondify sent is not
/// checked. With the feature `serde` an id is written as a string, and read from any non-empty string or
/// whole number.
///
/// ```
/// use bondify_core::TelegramId;
///
/// let admin: TelegramId = "7123456789".parse()?;
/// assert_eq!(admin, TelegramId::try_from(7_123_456_789_u64)?);
/// assert!("@ada".parse::<TelegramId>().is_err());
/// # Ok::<(), bondify_core::MalformedTelegramId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TelegramId(SmolStr);

impl TelegramId {
    /// An id as Bondify sent it, unchecked.
    pub(super) fn sent(id: &str) -> Self {
        Self(id.into())
    }

    /// An id that Bondify sent as a number.
    pub(super) fn sent_as_number(id: u64) -> Self {
        Self(id.to_smolstr())
    }

    /// The id as it is on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a number, for a 64-bit column of a database. Telegram ids need more
    /// than 32 bits. `None` if the id is not decimal digits, or does not fit into 64 bits.
    ///
    /// ```
    /// use bondify_core::TelegramId;
    ///
    /// let id: TelegramId = "7123456789".parse()?;
    /// assert_eq!(id.to_i64(), Some(7_123_456_789));
    /// # Ok::<(), bondify_core::MalformedTelegramId>(())
    /// ```
    pub fn to_i64(&self) -> Option<i64> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        if digits { self.0.parse().ok() } else { None }
    }
}

impl FromStr for TelegramId {
    type Err = MalformedTelegramId;

    fn from_str(id: &str) -> Result<Self, MalformedTelegramId> {
        let id = Self::sent(id);
        let fits = id.to_i64().is_some() && !id.0.starts_with('0');
        if fits { Ok(id) } else { Err(MalformedTelegramId) }
    }
}

impl TryFrom<u64> for TelegramId {
    type Error = MalformedTelegramId;

    fn try_from(id: u64) -> Result<Self, MalformedTelegramId> {
        id.to_smolstr().parse()
    }
}

impl fmt::Display for TelegramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TelegramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelegramId").finish_non_exhaustive()
    }
}

/// The error for text or a number that cannot be a Telegram id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Telegram id must be decimal digits, such as 7123456789")]
pub struct MalformedTelegramId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_people_typed_is_a_positive_64_bit_number() {
        for id in ["1", "7123456789", "9223372036854775807"] {
            assert_eq!(id.parse::<TelegramId>().unwrap().as_str(), id);
            assert_eq!(id.parse::<TelegramId>().unwrap().to_i64(), id.parse().ok());
            let number: u64 = id.parse().unwrap();
            assert_eq!(TelegramId::try_from(number).unwrap().as_str(), id);
        }
        for id in [
            "",
            "0",
            "007",
            "-1",
            "+1",
            " 1",
            "1\n",
            "1.0",
            "1e3",
            "@ada",
            "٣",
            "9223372036854775808",
        ] {
            assert_eq!(id.parse::<TelegramId>(), Err(MalformedTelegramId), "{id:?}");
        }
        for id in [0, 1 << 63, u64::MAX] {
            assert_eq!(TelegramId::try_from(id), Err(MalformedTelegramId));
        }
    }
}
