use std::{
    fmt,
    num::ParseIntError,
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Fault,
    clock::{as_ms, as_unix_ms},
};

/// The number of a delivery. Newer deliveries have greater numbers. The text is `dlv_` and the
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(pub(crate) u64);

impl DeliveryId {
    pub(crate) const MAX: Self = Self(u64::MAX);
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv_{}", self.0)
    }
}

impl FromStr for DeliveryId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.strip_prefix("dlv_").unwrap_or_default().parse().map(Self)
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        text.parse()
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.to_string()
    }
}

/// The delivery of an event to a project's webhook URL. Every attempt sends the same bytes with
/// the same signature. `Debug` shows nothing personal.
///
/// ```
/// use bondify_emulator::Delivery;
///
/// fn print(delivery: &Delivery) {
///     println!("{} {} {:?}", delivery.id, delivery.event, delivery.state);
///     for attempt in &delivery.attempts {
///         println!("  {:?} in {:?}", attempt.outcome.status(), attempt.duration);
///     }
/// }
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The delivery's number.
    pub id: DeliveryId,
    /// The project that the event belongs to.
    pub project_id: String,
    /// The token of the event's session. The session of a test event does not exist.
    pub session_token: String,
    /// The event's name, e.g. `auth.confirmed`.
    pub event: String,
    /// The cause of the delivery.
    pub cause: Cause,
    /// The time of creation.
    #[serde(with = "as_unix_ms")]
    pub created_at: SystemTime,
    /// The webhook URL.
    pub url: Url,
    /// The value of the signature header.
    pub signature: String,
    /// The exact body.
    pub body: String,
    /// The faults that are injected.
    pub faults: Vec<Fault>,
    /// Whether the delivery has priority.
    pub priority: bool,
    /// The maximum number of attempts.
    pub max_attempts: u32,
    /// The current state.
    #[serde(flatten)]
    pub state: DeliveryState,
    /// The attempts that have ended, oldest first.
    pub attempts: Vec<Attempt>,
}

/// The cause of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A user tapped Confirm or Cancel.
    Session,
    /// A test event was requested.
    Test,
    /// A resend of this delivery was requested.
    Resend(DeliveryId),
    /// A fault duplicated this delivery.
    Duplicate(DeliveryId),
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// The delivery waits for its next attempt.
    Queued {
        /// The earliest time of the next attempt.
        #[serde(with = "as_unix_ms")]
        due: SystemTime,
    },
    /// An attempt is in flight.
    Sending,
    /// The receiver answered 2xx.
    Delivered,
    /// Every attempt failed.
    Failed,
}

/// One POST and its outcome. `Debug` shows nothing personal.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The start time.
    #[serde(with = "as_unix_ms")]
    pub started_at: SystemTime,
    /// The duration up to the end of the response's body, to the millisecond.
    #[serde(rename = "duration_ms", with = "as_ms")]
    pub duration: Duration,
    /// Names and values of the request's headers, as they were sent.
    pub request_headers: Vec<(String, String)>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of an attempt.
///
/// ```
/// use bondify_emulator::Outcome;
///
/// fn text(outcome: &Outcome) -> String {
///     match outcome {
///         Outcome::Answered { status, .. } => format!("status {status}"),
///         Outcome::TimedOut => "no answer in time".to_owned(),
///         other => format!("{other:?}"),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver answered.
    Answered {
        /// The HTTP status. 2xx is a success; every other status, also a redirect, is a failure.
        status: u16,
        /// Names and values of the response's headers.
        response_headers: Vec<(String, String)>,
        /// The first 64 KiB of the body, as text.
        response_body: String,
    },
    /// The receiver did not answer before the time-out.
    TimedOut,
    /// The connection failed or was closed.
    Disconnected {
        /// The error text of the operating system or the HTTP client.
        reason: String,
    },
    /// The address is not a loopback address, and others are not allowed.
    NotLoopback,
    /// The fault [`DropConnection`](Fault::DropConnection) cut the connection.
    Dropped,
    /// The fault [`Unreachable`](Fault::Unreachable) was on: nothing was sent.
    Unreachable,
}

impl Delivery {
    /// Whether the delivery has succeeded or failed for good.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, DeliveryState::Delivered | DeliveryState::Failed)
    }
}

impl Outcome {
    /// Whether the receiver acknowledged the event.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// The status, if the receiver answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("cause", &self.cause)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("duration", &self.duration)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// The status, or the reason why there is none.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, .. } => write!(f, "{status}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Disconnected { .. } => f.write_str("no answer"),
            Self::NotLoopback => f.write_str("blocked"),
            Self::Dropped => f.write_str("cut off"),
            Self::Unreachable => f.write_str("not sent"),
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcome({self})")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_parsed_from_its_text() {
        let id = DeliveryId(42);
        assert_eq!(id.to_string(), "dlv_42");
        assert_eq!("dlv_42".parse(), Ok(id));
        for text in ["42", "dlv_", "dlv_x", ""] {
            assert!(text.parse::<DeliveryId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn json_has_state_and_outcome_beside_the_rest() {
        let answered = Outcome::Answered {
            status: 503,
            response_headers: vec![("retry-after".into(), "1".into())],
            response_body: "later".into(),
        };
        let delivery = Delivery {
            id: DeliveryId(2),
            project_id: "proj_1".into(),
            session_token: "sess_1".into(),
            event: "auth.confirmed".into(),
            cause: Cause::Resend(DeliveryId(1)),
            created_at: SystemTime::UNIX_EPOCH,
            url: Url::parse("http://localhost:3000/").unwrap(),
            signature: "5ec7e7".into(),
            body: r#"{"telegram_name":"Ada"}"#.into(),
            faults: vec![Fault::Duplicate],
            priority: false,
            max_attempts: 4,
            state: DeliveryState::Queued { due: SystemTime::UNIX_EPOCH + Duration::from_secs(1) },
            attempts: vec![Attempt {
                started_at: SystemTime::UNIX_EPOCH,
                duration: Duration::from_millis(7),
                request_headers: Vec::new(),
                outcome: answered.clone(),
            }],
        };
        let json = serde_json::to_value(&delivery).unwrap();
        assert_eq!(json["cause"], json!({"kind": "resend", "of": "dlv_1"}));
        assert_eq!((&json["state"], &json["due"]), (&json!("queued"), &json!(1000)));
        let attempt = &json["attempts"][0];
        assert_eq!((&attempt["outcome"], &attempt["status"]), (&json!("answered"), &json!(503)));
        let back: Delivery = serde_json::from_value(json).unwrap();
        assert_eq!((back.state, &back.attempts[0].outcome), (delivery.state, &answered));

        let debug = format!("{delivery:?}");
        for secret in [&delivery.session_token, &delivery.signature, &delivery.body, "later"] {
            assert!(!debug.contains(secret), "{debug}");
        }
    }
}
