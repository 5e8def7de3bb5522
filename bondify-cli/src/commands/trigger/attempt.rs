use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    http::{Answer, NoAnswer},
    outcome::Outcome,
    output::{FAINT, Printable},
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
        Self { delivery, session_token, outcome: answer.into() }
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
