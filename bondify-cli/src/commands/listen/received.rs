use std::{
    fmt::{self, Display},
    time::Duration,
};

use axum::http::StatusCode;
use bondify_core::{Event, Reply};
use serde::{Deserialize, Serialize};

use crate::{
    http::NoAnswer,
    output::{BAD, FAINT, Printable, Status, millis},
};

/// A line of output.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    Received(Received),
    /// The body of an answer that broke off after its head had arrived.
    BrokenOff {
        broken_off: String,
        error: String,
    },
}

impl Shown {
    pub(super) fn broken_off(event: &str, error: &axum::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::BrokenOff { broken_off: event.to_owned(), error: cause.to_string() }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(received) => received.fmt(f),
            Self::BrokenOff { broken_off, error } => {
                write!(f, "{}: {BAD}the answer broke off{BAD:#}: {error}", Printable(broken_off))
            }
        }
    }
}

/// A delivery and its answer.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Received {
    Verified {
        verified: bool,
        event: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        session_token: Option<String>,
        status: Status,
        /// The latency of the endpoint that it was forwarded to.
        #[serde(skip_serializing_if = "Option::is_none")]
        latency_ms: Option<f64>,
        /// The reason why the endpoint did not answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        body: String,
    },
    Refused {
        verified: bool,
        status: Status,
        code: &'static str,
        error: String,
    },
}

impl Received {
    pub(super) fn verified(event: &Event, status: StatusCode) -> Self {
        Self::Verified {
            verified: true,
            event: event.name().to_owned(),
            session_token: event.session_token().map(str::to_owned),
            status: Status(status.as_u16()),
            latency_ms: None,
            error: None,
            body: String::from_utf8_lossy(event.raw()).into_owned(),
        }
    }

    /// The delivery, answered by the endpoint.
    pub(super) fn after(mut self, latency: Duration) -> Self {
        if let Self::Verified { latency_ms, .. } = &mut self {
            *latency_ms = Some(millis(latency));
        }
        self
    }

    /// The delivery, not answered by the endpoint.
    pub(super) fn failed(mut self, reason: &NoAnswer) -> Self {
        if let Self::Verified { error, .. } = &mut self {
            *error = Some(reason.to_string());
        }
        self
    }

    pub(super) fn refused(reply: Reply) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: String,
        }
        let body: Option<Body> = serde_json::from_str(reply.body()).ok();
        Self::Refused {
            verified: false,
            status: Status(reply.status()),
            code: reply.code(),
            error: body.map(|body| body.error).unwrap_or_default(),
        }
    }
}

impl Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { event, status, latency_ms, error, body, .. } => {
                write!(f, "{}: {status}", Printable(event))?;
                if let Some(latency_ms) = latency_ms {
                    write!(f, ", forwarded in {latency_ms:.1} ms")?;
                }
                if let Some(error) = error {
                    write!(f, ", not forwarded: {error}")?;
                }
                write!(f, "\n{FAINT}{}{FAINT:#}", Printable(body))
            }
            Self::Refused { status, code, error, .. } => {
                write!(f, "{BAD}refused{BAD:#}: {} {code}, {error}", status.0)
            }
        }
    }
}
