use std::{fmt, str::FromStr, time::Duration};

/// What the session token of an event says: its number, and what its handler has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the receiver needs it all")]
pub struct Ticket {
    /// Counts from 0.
    pub event: usize,
    /// How long the handler takes before the effect and after it, for a crash to hit.
    pub pause: Duration,
}

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
