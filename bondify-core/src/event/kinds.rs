use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use bytestring::ByteString;

use super::user::TelegramUser;
use crate::EventKey;

/// An event of a login session.
///
/// A delivery becomes an `Event` by verification only. The same login can also arrive in another
/// way. It is then the same event with the same [`key`](Self::key):
///
/// | from | by | authenticated by |
/// |---|---|---|
/// | a webhook | [`Bondify`](crate::Bondify), [`Verifier`](crate::Verifier) | Bondify's signature |
/// | a verified proof | `Event::from(&proof)`, feature `proof` | Bondify's signature |
/// | a poll or the session list | `event()` in `bondify-client` | the API, over TLS |
/// | your own queue or table | [`from_trusted`](Self::from_trusted) | you |
///
/// Clones are cheap: they share the body. Two events are equal if their bodies are. `Debug` and
/// `Display` show the event's name and a digest of its session token, and no personal data.
///
/// ```
/// use bondify_core::Event;
///
/// fn describe(event: &Event) -> String {
///     match event {
///         Event::Confirmed(confirmed) => {
///             let user = confirmed.user();
///             format!("{} is {}", user.id(), user.username().unwrap_or("without a username"))
///         }
///         Event::Cancelled(_) => "the login was cancelled".to_owned(),
///         other => format!("unknown event {}", other.name()),
///     }
/// }
///
/// let event = Event::from_trusted(
///     r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789",
///         "telegram_name":"Ada","telegram_username":"ada","confirmed_at":1700000000123}"#,
/// )?;
/// assert_eq!(describe(&event), "7123456789 is ada");
/// # Ok::<(), bondify_core::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
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
    ///
    /// ```
    /// use bondify_core::{Confirmed, Event};
    ///
    /// /// Whether a row of a queue, which holds names and bodies, is a login.
    /// fn is_login(event: &Event) -> bool {
    ///     event.name() == Confirmed::NAME
    /// }
    /// ```
    pub fn name(&self) -> &str {
        match self {
            Self::Confirmed(_) => Confirmed::NAME,
            Self::Cancelled(_) => Cancelled::NAME,
            Self::Unknown(event) => event.name(),
        }
    }

    /// The token of the login session that the event belongs to. `None` only for an
    /// [`Unknown`] event.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use bondify_core::Event;
    /// use tokio::sync::oneshot::Sender;
    ///
    /// /// Answers the request that waits for this login.
    /// fn answer(event: Event, waiting: &mut HashMap<String, Sender<Event>>) {
    ///     let Some(token) = event.session_token() else { return };
    ///     if let Some(request) = waiting.remove(token) {
    ///         let _disconnected = request.send(event);
    ///     }
    /// }
    /// ```
    pub fn session_token(&self) -> Option<&str> {
        match self {
            Self::Confirmed(event) => Some(event.session_token()),
            Self::Cancelled(event) => Some(event.session_token()),
            Self::Unknown(event) => event.session_token(),
        }
    }

    /// The user who confirmed. `None` for an event that is not [`Confirmed`].
    ///
    /// ```
    /// use bondify_core::Event;
    ///
    /// fn id(event: &Event) -> Option<&str> {
    ///     Some(event.user()?.id().as_str())
    /// }
    /// ```
    pub fn user(&self) -> Option<&TelegramUser> {
        match self {
            Self::Confirmed(event) => Some(event.user()),
            Self::Cancelled(_) | Self::Unknown(_) => None,
        }
    }

    /// The time of the event, to the millisecond. `None` only for an [`Unknown`] event.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::Event;
    ///
    /// /// The time from the user's tap to the handler, for a metric.
    /// fn delay(event: &Event) -> Option<Duration> {
    ///     SystemTime::now().duration_since(event.occurred_at()?).ok()
    /// }
    /// ```
    pub fn occurred_at(&self) -> Option<SystemTime> {
        match self {
            Self::Confirmed(event) => Some(event.confirmed_at),
            Self::Cancelled(event) => Some(event.cancelled_at),
            Self::Unknown(event) => event.occurred_at,
        }
    }

    /// The JSON object of the event: the exact bytes of the delivery that were signed. An event that did
    /// not arrive by webhook has the JSON object that its webhook would have.
    /// [`from_trusted`](Self::from_trusted) reads it.
    ///
    /// ```
    /// use bondify_core::{Event, ParseError};
    ///
    /// /// Passes an event through a queue or a table.
    /// fn through_a_queue(event: &Event) -> Result<Event, ParseError> {
    ///     let row = event.raw().clone();
    ///     Event::from_trusted(row)
    /// }
    /// ```
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Confirmed(event) => event.raw(),
            Self::Cancelled(event) => event.raw(),
            Self::Unknown(event) => event.raw(),
        }
    }

    /// The [name](crate::Secret::named) of the secret that signed the event. `None` if the secret
    /// has no name, and for an event that did not arrive by webhook or proof.
    ///
    /// ```
    /// use bondify_core::Event;
    ///
    /// fn report(event: &Event) {
    ///     if event.signed_by() == Some("2026-10") {
    ///         println!("Bondify still uses the old secret");
    ///     }
    /// }
    /// ```
    pub fn signed_by(&self) -> Option<&str> {
        self.signer().as_deref()
    }

    pub(crate) fn signer(&self) -> &SecretName {
        match self {
            Self::Confirmed(event) => &event.signed_by,
            Self::Cancelled(event) => &event.signed_by,
            Self::Unknown(event) => &event.signed_by,
        }
    }

    /// The key that the event is deduplicated by.
    ///
    /// ```
    /// use bondify_core::{Event, EventKey, ParseError};
    ///
    /// let event = Event::from_trusted(
    ///     r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":1700000000123}"#,
    /// )?;
    /// assert_eq!(event.key(), EventKey::new("auth.cancelled", "sess_1"));
    /// # Ok::<(), ParseError>(())
    /// ```
    pub fn key(&self) -> EventKey {
        match self.session_token() {
            Some(token) => EventKey::new(self.name(), token),
            None => EventKey::new(self.name(), self.raw()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.8}", self.name(), self.key())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({self})")
    }
}

/// `auth.confirmed`: a user tapped Confirm.
///
/// ```
/// use bondify_core::Confirmed;
///
/// fn describe(confirmed: &Confirmed) -> String {
///     let user = confirmed.user();
///     format!("{} ({}) confirmed {}", user.name(), user.id(), confirmed.session_token())
/// }
/// ```
#[derive(Clone)]
pub struct Confirmed {
    pub(super) body: ByteString,
    pub(super) session_token: ByteString,
    pub(super) user: TelegramUser,
    pub(super) confirmed_at: SystemTime,
    pub(super) signed_by: SecretName,
}

impl Confirmed {
    /// The event's name on the wire.
    pub const NAME: &str = "auth.confirmed";

    /// The token of the session that the user confirmed.
    pub fn session_token(&self) -> &str {
        &self.session_token
    }

    /// The user who confirmed.
    pub fn user(&self) -> &TelegramUser {
        &self.user
    }

    /// The time at which the user tapped Confirm, to the millisecond.
    pub fn confirmed_at(&self) -> SystemTime {
        self.confirmed_at
    }
}

/// `auth.cancelled`: a user tapped Cancel.
///
/// ```
/// use bondify_core::Cancelled;
///
/// fn describe(cancelled: &Cancelled) -> String {
///     format!("{} was cancelled at {:?}", cancelled.session_token(), cancelled.cancelled_at())
/// }
/// ```
#[derive(Clone)]
pub struct Cancelled {
    pub(super) body: ByteString,
    pub(super) session_token: ByteString,
    pub(super) cancelled_at: SystemTime,
    pub(super) signed_by: SecretName,
}

impl Cancelled {
    /// The event's name on the wire.
    pub const NAME: &str = "auth.cancelled";

    /// The token of the session that the user cancelled.
    pub fn session_token(&self) -> &str {
        &self.session_token
    }

    /// The time at which the user tapped Cancel, to the millisecond.
    pub fn cancelled_at(&self) -> SystemTime {
        self.cancelled_at
    }
}

/// A signed event of a kind unknown to this version. Its JSON is [`Event::raw`].
///
/// ```
/// use bondify_core::{Event, ParseError};
///
/// let Event::Unknown(event) = Event::from_trusted(r#"{"event":"auth.renewed","a":1}"#)? else {
///     unreachable!("this version knows no such event")
/// };
/// assert_eq!(event.name(), "auth.renewed");
/// assert_eq!(&event.raw()[..], br#"{"event":"auth.renewed","a":1}"#); // read it yourself
/// # Ok::<(), ParseError>(())
/// ```
#[derive(Clone)]
pub struct Unknown {
    pub(super) body: ByteString,
    pub(super) name: ByteString,
    pub(super) session_token: Option<ByteString>,
    pub(super) occurred_at: Option<SystemTime>,
    pub(super) signed_by: SecretName,
}

impl Unknown {
    /// The event's name on the wire.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session token, if the event has one.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// The time of the event: the later of its `confirmed_at` and `cancelled_at`, if it has
    /// one of them.
    pub fn occurred_at(&self) -> Option<SystemTime> {
        self.occurred_at
    }
}

/// Two events are equal if their bodies are, and `Debug` shows nothing personal.
macro_rules! by_body {
    ($($event:ident)+) => {$(
        impl $event {
            /// The JSON object of the event, as [`Event::raw`].
            pub fn raw(&self) -> &Bytes {
                self.body.as_bytes()
            }
        }

        impl PartialEq for $event {
            fn eq(&self, other: &Self) -> bool {
                self.raw() == other.raw()
            }
        }

        impl Eq for $event {}

        impl fmt::Debug for $event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($event)).finish_non_exhaustive()
            }
        }
    )+};
}

by_body!(Confirmed Cancelled Unknown);

/// The name of the secret that signed an event or a proof, if it has one.
pub(crate) type SecretName = Option<Arc<str>>;
