use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    http::{Answer, NoAnswer},
    outcome::Outcome,
    output::{FAINT, Printable, Status, millis},
};

/// One request and its outcome.
#[derive(Serialize)]
pub(super) struct Attempt {
    delivery: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<String>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Attempt {
    pub(super) fn new(
        delivery: u64,
        session_token: Option<String>,
        answer: Result<Answer, NoAnswer>,
    ) -> Self {
        let outcome = match answer {
            Ok(answer) => Outcome::Answered {
                status: Status(answer.status.as_u16()),
                latency_ms: millis(answer.latency),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            },
            Err(reason) => Outcome::Unanswered { error: reason.to_string() },
        };
        Self { delivery, session_token, outcome }
    }
}

impl Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outcome)?;
        match &self.outcome {
            Outcome::Answered { body, .. } if !body.trim().is_empty() => {
                write!(f, "\n{FAINT}{}{FAINT:#}", Printable(body))
            }
            _ => Ok(()),
        }
    }
}
