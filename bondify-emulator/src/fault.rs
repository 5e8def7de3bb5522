use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A fault that is injected into a project's deliveries.
///
/// A fault applies to the events that happen while it is on; retries send the same bytes as
/// the first attempt. Only [`DropConnection`](Fault::DropConnection) and
/// [`Unreachable`](Fault::Unreachable) are decided at each attempt, so that a retry succeeds once
/// the fault is off again.
///
/// Each variant documents its text in JSON and on the command line.
///
/// ```
/// use std::time::Duration;
///
/// use bondify_emulator::Fault;
///
/// assert_eq!("tampered-body".parse(), Ok(Fault::TamperedBody));
/// assert_eq!("delay=1500".parse(), Ok(Fault::Delay(Duration::from_millis(1500))));
/// assert_eq!(Fault::Delay(Duration::from_secs(2)).to_string(), "delay=2000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Fault {
    /// `duplicate`: each event is delivered again after its delivery.
    Duplicate,
    /// `concurrent-duplicate`: each event is delivered twice at the same time.
    ConcurrentDuplicate,
    /// `delay=MILLISECONDS`: the first attempt is delayed.
    Delay(Duration),
    /// `tampered-body`: the body is changed after it was signed.
    TamperedBody,
    /// `wrong-secret`: another secret signs the event.
    WrongSecret,
    /// `stale-timestamp`: the signed time of the event is 48 hours ago.
    StaleTimestamp,
    /// `unknown-event`: the signed name of the event is [`UNKNOWN_EVENT`](Fault::UNKNOWN_EVENT).
    UnknownEvent,
    /// `drop-connection`: half of the request is sent, then the connection is cut.
    DropConnection,
    /// `unreachable`: nothing is sent, and every attempt fails.
    Unreachable,
}

impl Fault {
    /// The name of an event that Bondify does not send.
    pub const UNKNOWN_EVENT: &str = "auth.unknown_test";

    /// The age of an event with [`StaleTimestamp`](Fault::StaleTimestamp): 48 hours.
    pub const STALE_BY: Duration = Duration::from_secs(48 * 60 * 60);

    /// Each kind of fault; the delay is three seconds.
    pub const ALL: [Self; 9] = [
        Self::Duplicate,
        Self::ConcurrentDuplicate,
        Self::Delay(Duration::from_secs(3)),
        Self::TamperedBody,
        Self::WrongSecret,
        Self::StaleTimestamp,
        Self::UnknownEvent,
        Self::DropConnection,
        Self::Unreachable,
    ];

    /// A body that is changed after it was signed: a JSON object gets another field, and other text a space.
    ///
    /// ```
    /// use bondify_emulator::Fault;
    ///
    /// assert_ne!(Fault::tampered(r#"{"a":1}"#), r#"{"a":1}"#);
    /// ```
    #[must_use]
    pub fn tampered(body: &str) -> String {
        match body.strip_prefix("{\"") {
            Some(fields) => format!(r#"{{"tampered":true,"{fields}"#),
            None => format!("{body} "),
        }
    }

    /// The text, without the milliseconds of a delay.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::ConcurrentDuplicate => "concurrent-duplicate",
            Self::Delay(_) => "delay",
            Self::TamperedBody => "tampered-body",
            Self::WrongSecret => "wrong-secret",
            Self::StaleTimestamp => "stale-timestamp",
            Self::UnknownEvent => "unknown-event",
            Self::DropConnection => "drop-connection",
            Self::Unreachable => "unreachable",
        }
    }

    /// A sentence that describes the fault, without a full stop.
    #[must_use]
    pub fn description(&self) -> &'static str {
        match self {
            Self::Duplicate => "Each event is delivered again after its delivery",
            Self::ConcurrentDuplicate => "Each event is delivered twice at the same time",
            Self::Delay(_) => "The first attempt is delayed",
            Self::TamperedBody => "The body is changed after it was signed",
            Self::WrongSecret => "Another secret signs the event",
            Self::StaleTimestamp => "The time of the event is 48 hours ago",
            Self::UnknownEvent => "The event has a name that Bondify does not send",
            Self::DropConnection => "Half of the request is sent, then the connection is cut",
            Self::Unreachable => "Nothing is sent, and every attempt fails",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Delay(delay) => write!(f, "={}", delay.as_millis()),
            _ => Ok(()),
        }
    }
}

/// An error: the text names no [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown fault {0:?}; the faults are duplicate, concurrent-duplicate, delay=MILLISECONDS, \
     tampered-body, wrong-secret, stale-timestamp, unknown-event, drop-connection and unreachable"
)]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        if let Some(ms) = text.strip_prefix("delay=") {
            let ms: u32 = ms.parse().map_err(|_| unknown())?;
            return Ok(Self::Delay(Duration::from_millis(ms.into())));
        }
        let named = Self::ALL.into_iter().find(|fault| fault.to_string() == text);
        named.ok_or_else(unknown)
    }
}

impl TryFrom<String> for Fault {
    type Error = UnknownFault;

    fn try_from(text: String) -> Result<Self, UnknownFault> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_parsed_from_its_text() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for text in ["", "delay", "delay=", "delay=-1", "delay=99999999999", "Duplicate"] {
            assert_eq!(text.parse::<Fault>(), Err(UnknownFault(text.to_owned())));
        }
    }
}
