use std::fmt::{self, Display};

use serde::Serialize;

use crate::output::{BAD, FAINT, GOOD, Printable};

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
