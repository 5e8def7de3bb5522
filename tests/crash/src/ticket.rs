use std::{fmt, str::FromStr, time::Duration};

/// The content of an event's session token: its number, and the pauses of its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the receiver needs it all")]
pub struct Ticket {
    /// The event's number, from 0.
    pub event: usize,
    /// The pause of the handler before the effect and after it, in which a crash can hit it.
    pub pause: Duration,
}

impl Ticket {
    /// The ticket of a login that a user made at the emulator: the number and the pause are in the
    /// user's id.
    #[must_use]
    pub fn of_user(id: &str) -> Option<Self> {
        let number: u64 = id.parse().ok()?;
        let (first, pause) = match number {
            FIRST_SLOW_USER.. => (FIRST_SLOW_USER, 500),
            _ => (FIRST_USER, 10),
        };
        let event = usize::try_from(number.checked_sub(first)?).ok()?;
        Some(Self { event, pause: Duration::from_millis(pause) })
    }

    /// The id of the user of an event, whose handler is quick.
    pub(crate) fn user(event: usize) -> String {
        (FIRST_USER + event as u64).to_string()
    }

    /// The id of the user of an event, whose handler is slow.
    pub(crate) fn slow_user(event: usize) -> String {
        (FIRST_SLOW_USER + event as u64).to_string()
    }
}

/// Added to the number, since the id of a user is not zero.
const FIRST_USER: u64 = 1_000_000;
const FIRST_SLOW_USER: u64 = 1_000_000_000_000;

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sess_{}_{}", self.event, self.pause.as_millis())
    }
}

impl FromStr for Ticket {
    type Err = String;

    fn from_str(token: &str) -> Result<Self, String> {
        let parse = || {
            let (event, pause) = token.strip_prefix("sess_")?.split_once('_')?;
            let pause = Duration::from_millis(pause.parse().ok()?);
            Some(Self { event: event.parse().ok()?, pause })
        };
        parse().ok_or_else(|| format!("{token} is no ticket"))
    }
}
