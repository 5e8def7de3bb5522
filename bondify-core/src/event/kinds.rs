use std::{fmt, time::SystemTime};

use bytes::Bytes;
use bytestring::ByteString;
use smol_str::SmolStr;

use super::payload::Text;
use crate::EventKey;

/// A verified event of a login session.
///
/// Only verification creates an `Event`, so one that you hold was signed by Bondify.
/// Clones are cheap: they share the delivery's body. `Debug` and `Display` show the
/// event's name and a digest of its session token, and no personal data.
#[derive(Clone)]
#[non_exhaustive]
pub enum Event {
    /// `auth.confirmed`: the user tapped Confirm and is logged in.
    Confirmed(Confirmed),
    /// `auth.cancelled`: the user tapped Cancel.
    Cancelled(Cancelled),
    /// A signed event of a kind unknown to this version.
    Unknown(Unknown),
}

impl Event {
    /// The event's name on the wire, e.g. `auth.confirmed`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Confirmed(_) => Confirmed::NAME,
            Self::Cancelled(_) => Cancelled::NAME,
            Self::Unknown(event) => event.name(),
        }
    }

    /// The token of the login session that the event belongs to. `None` only for an
    /// [`Unknown`] event.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        match self {
            Self::Confirmed(event) => Some(event.session_token()),
            Self::Cancelled(event) => Some(event.session_token()),
            Self::Unknown(event) => event.session_token(),
        }
    }

    /// The time of the event, to the millisecond. `None` only for an [`Unknown`] event.
    #[must_use]
    pub fn occurred_at(&self) -> Option<SystemTime> {
        match self {
            Self::Confirmed(event) => Some(event.confirmed_at),
            Self::Cancelled(event) => Some(event.cancelled_at),
            Self::Unknown(event) => event.occurred_at,
        }
    }

    /// The body exactly as it was received and signed, a JSON object.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Confirmed(event) => event.raw(),
            Self::Cancelled(event) => event.raw(),
            Self::Unknown(event) => event.raw(),
        }
    }

    /// The key that the event is deduplicated by.
    #[must_use]
    pub fn key(&self) -> EventKey {
        match self.session_token() {
            Some(token) => EventKey::new(self.name(), token),
            None => EventKey::new(self.name(), self.raw()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.key().short())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({self})")
    }
}

/// `auth.confirmed`: a user tapped Confirm.
#[derive(Clone)]
pub struct Confirmed {
    pub(super) body: ByteString,
    pub(super) session_token: Text,
    pub(super) telegram_id: TelegramId,
    pub(super) telegram_name: Text,
    pub(super) telegram_username: Option<Text>,
    pub(super) telegram_phone: Option<Text>,
    pub(super) confirmed_at: SystemTime,
}

impl Confirmed {
    /// The event's name on the wire.
    pub const NAME: &str = "auth.confirmed";

    /// The token of the session that the user confirmed.
    #[must_use]
    pub fn session_token(&self) -> &str {
        self.session_token.within(&self.body)
    }

    /// The user's Telegram id, the stable key of an account.
    #[must_use]
    pub fn telegram_id(&self) -> &TelegramId {
        &self.telegram_id
    }

    /// The display name: any Unicode text, which users can change at any time.
    #[must_use]
    pub fn telegram_name(&self) -> &str {
        self.telegram_name.within(&self.body)
    }

    /// The username without `@`, if the user has one.
    #[must_use]
    pub fn telegram_username(&self) -> Option<&str> {
        Some(self.telegram_username.as_ref()?.within(&self.body))
    }

    /// The phone number, if the project's plan includes it and the user shared it.
    #[must_use]
    pub fn telegram_phone(&self) -> Option<&str> {
        Some(self.telegram_phone.as_ref()?.within(&self.body))
    }

    /// The time at which the user tapped Confirm, to the millisecond.
    #[must_use]
    pub fn confirmed_at(&self) -> SystemTime {
        self.confirmed_at
    }

    /// The body exactly as it was received and signed, a JSON object.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        self.body.as_bytes()
    }
}

/// `auth.cancelled`: a user tapped Cancel.
#[derive(Clone)]
pub struct Cancelled {
    pub(super) body: ByteString,
    pub(super) session_token: Text,
    pub(super) cancelled_at: SystemTime,
}

impl Cancelled {
    /// The event's name on the wire.
    pub const NAME: &str = "auth.cancelled";

    /// The token of the session that the user cancelled.
    #[must_use]
    pub fn session_token(&self) -> &str {
        self.session_token.within(&self.body)
    }

    /// The time at which the user tapped Cancel, to the millisecond.
    #[must_use]
    pub fn cancelled_at(&self) -> SystemTime {
        self.cancelled_at
    }

    /// The body exactly as it was received and signed, a JSON object.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        self.body.as_bytes()
    }
}

/// A signed event of a kind unknown to this version. Its JSON is [`Event::raw`].
#[derive(Clone)]
pub struct Unknown {
    pub(super) body: ByteString,
    pub(super) name: Text,
    pub(super) session_token: Option<Text>,
    pub(super) occurred_at: Option<SystemTime>,
}

impl Unknown {
    /// The event's name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.within(&self.body)
    }

    /// The session token, if the event has one.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        Some(self.session_token.as_ref()?.within(&self.body))
    }

    /// The time of the event: the later of its `confirmed_at` and `cancelled_at`, if it has
    /// one of them.
    #[must_use]
    pub fn occurred_at(&self) -> Option<SystemTime> {
        self.occurred_at
    }

    /// The body exactly as it was received and signed, a JSON object.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        self.body.as_bytes()
    }
}

macro_rules! debug_shows_nothing_personal {
    ($($event:ident),*) => {$(
        impl fmt::Debug for $event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($event)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_shows_nothing_personal!(Confirmed, Cancelled, Unknown, TelegramId);

/// A Telegram user's id: decimal digits, stable for the life of the account.
///
/// A string, as on the wire. `Display` shows it, `Debug` does not. Clones are cheap and do not
/// keep the event's body in memory.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TelegramId(pub(crate) SmolStr);

impl TelegramId {
    /// The id as it is on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a number, for a database's 64-bit column. Telegram ids need more
    /// than 32 bits. `None` if it is not decimal digits that fit.
    ///
    /// ```
    /// # use bondify_core::{Event, Secret};
    /// # use bondify_testkit::Payload;
    /// # let secret = Secret::new("whsec_test")?;
    /// # let event = Payload::confirmed().telegram_id("7123456789").signed_with(&secret).verified_by(&secret)?;
    /// if let Event::Confirmed(login) = event {
    ///     assert_eq!(login.telegram_id().to_i64(), Some(7_123_456_789));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        if digits { self.0.parse().ok() } else { None }
    }
}

impl From<String> for TelegramId {
    /// Converts a stored id, such as one from a database, without checking it.
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl AsRef<str> for TelegramId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TelegramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
