use std::{
    fmt::{self, Display},
    io,
    time::{Duration, SystemTime},
};

use bondify_client::ProofVerifier;
use serde::Serialize;

use crate::{
    http::{Answer, NoAnswer},
    output::{BAD, FAINT, GOOD, Output, Printable},
};

/// Shows the findings.
pub(super) struct Report {
    pub(super) output: Output,
    /// Whether no finding is a problem.
    pub(super) is_sound: bool,
}

impl Report {
    pub(super) fn show(&mut self, finding: Finding) -> io::Result<()> {
        self.is_sound &= finding.level != Level::Problem;
        self.output.show(&finding)
    }
}

/// The result of one check.
#[derive(Serialize)]
pub(super) struct Finding {
    check: &'static str,
    #[serde(rename = "result")]
    pub(super) level: Level,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Problem,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, text: text.into(), advice: None }
    }

    pub(super) fn warning(
        check: &'static str,
        text: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { check, level: Level::Warning, text: text.into(), advice: Some(advice) }
    }

    pub(super) fn problem(
        check: &'static str,
        text: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { check, level: Level::Problem, text: text.into(), advice: Some(advice) }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (style, level) = match self.level {
            Level::Ok => (GOOD, "ok"),
            Level::Warning => (BAD, "warning"),
            Level::Problem => (BAD, "problem"),
        };
        write!(f, "{style}{level:7}{style:#}  {:15}  {}", self.check, Printable(&self.text))?;
        match self.advice {
            Some(advice) => write!(f, "\n{:26}{FAINT}{advice}{FAINT:#}", ""),
            None => Ok(()),
        }
    }
}

/// The difference between the clocks of this machine and of the server, if it is large.
pub(super) fn clock(answer: &Answer) -> Option<Finding> {
    const TOLERATED: Duration = Duration::from_secs(10);
    let (date, now) = (answer.date()?, SystemTime::now());
    let (difference, direction) = match now.duration_since(date) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    let text =
        format!("the server's clock is {} s {direction} this machine's", difference.as_secs());
    let advice = "synchronise both by NTP (`timedatectl` shows whether a clock is): events and proofs are \
                  refused if their age seems wrong";
    if difference >= ProofVerifier::DEFAULT_LEEWAY {
        Some(Finding::problem("clock", text, advice))
    } else {
        (difference > TOLERATED).then(|| Finding::warning("clock", text, advice))
    }
}

pub(super) fn failed(
    check: &'static str,
    text: &str,
    answer: Result<Answer, NoAnswer>,
    advice: &'static str,
) -> Finding {
    let reason = match answer {
        Ok(answer) => answer.status.to_string(),
        Err(reason) => reason.to_string(),
    };
    Finding::problem(check, format!("{text}: {reason}"), advice)
}
