use std::fmt::{self, Display};

use reqwest::StatusCode;
use serde::Serialize;

use crate::{
    http::{Answer, NoAnswer},
    output::{BAD, FAINT, GOOD, Printable, millis, status_code},
};

/// One request, and what became of it.
#[derive(Serialize)]
pub(super) struct Attempt {
    delivery: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<String>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Answered {
        #[serde(serialize_with = "status_code")]
        status: StatusCode,
        latency_ms: f64,
        body: String,
    },
    Unanswered {
        error: String,
    },
}

impl Attempt {
    pub(super) fn new(
        delivery: u64,
        session_token: Option<String>,
        answer: Result<Answer, NoAnswer>,
    ) -> Self {
        let outcome = match answer {
            Ok(answer) => Outcome::Answered {
                status: answer.status,
                latency_ms: millis(answer.latency),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            },
            Err(reason) => Outcome::Unanswered { error: reason.to_string() },
        };
        Self { delivery, session_token, outcome }
    }
}

impl Outcome {
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Answered { status, .. } if status.is_success())
    }
}

impl Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = if self.outcome.is_accepted() { GOOD } else { BAD };
        match &self.outcome {
            Outcome::Answered { status, latency_ms, body } => {
                write!(f, "{style}{status}{style:#} in {latency_ms:.1} ms")?;
                if !body.trim().is_empty() {
                    write!(f, "\n{FAINT}{}{FAINT:#}", Printable(body.as_bytes()))?;
                }
                Ok(())
            }
            Outcome::Unanswered { error } => write!(f, "{style}no answer{style:#}: {error}"),
        }
    }
}
