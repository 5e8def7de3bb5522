use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    http::{Answer, NoAnswer},
    output::{BAD, Status, millis},
};

/// The outcome of a request. `Display` leaves out the answer's body.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Answered { status: Status, latency_ms: f64, body: String },
    Unanswered { error: String },
}

impl Outcome {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Answered { status, .. } if status.is_success())
    }
}

impl From<Result<Answer, NoAnswer>> for Outcome {
    fn from(answer: Result<Answer, NoAnswer>) -> Self {
        match answer {
            Ok(answer) => Self::Answered {
                status: Status(answer.status.as_u16()),
                latency_ms: millis(answer.latency),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            },
            Err(reason) => Self::Unanswered { error: reason.to_string() },
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, latency_ms, .. } => {
                write!(f, "{status} in {latency_ms:.1} ms")
            }
            Self::Unanswered { error } => write!(f, "{BAD}no answer{BAD:#}: {error}"),
        }
    }
}
