use std::fmt::{self, Display};

use axum::http::StatusCode;
use bondify_core::{Event, Reply};
use serde::{Deserialize, Serialize};

use crate::{
    http::{Answer, NoAnswer},
    output::{BAD, FAINT, Printable, Status, millis},
};

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
    pub(super) fn verified(
        event: &Event,
        status: StatusCode,
        forwarded: Option<&Result<Answer, NoAnswer>>,
    ) -> Self {
        Self::Verified {
            verified: true,
            event: event.name().to_owned(),
            session_token: event.session_token().map(str::to_owned),
            status: Status(status.as_u16()),
            latency_ms: forwarded.and_then(|answer| Some(millis(answer.as_ref().ok()?.latency))),
            error: forwarded.and_then(|answer| Some(answer.as_ref().err()?.to_string())),
            body: String::from_utf8_lossy(event.raw()).into_owned(),
        }
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
