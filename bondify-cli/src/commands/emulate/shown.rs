use std::fmt::{self, Display};

use bondify_emulator::{Delivery, DeliveryState, Outcome as Emulated, Project, Url};
use serde::Serialize;

use crate::{
    outcome::Outcome,
    output::{BAD, FAINT, Printable, Status, millis},
};

/// The emulator's URL and settings, shown once it listens.
#[derive(Serialize)]
pub(super) struct Ready<'a> {
    ready: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    api_url: &'a str,
    project_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_token: Option<&'a str>,
    #[serde(flatten)]
    reach: Reach,
}

/// The hosts that can be reached.
#[derive(Serialize)]
pub(super) struct Reach {
    /// Whether other machines can connect.
    pub(super) open: bool,
    /// Whether deliveries are blocked, because the webhook URL leads to another machine.
    pub(super) blocked: bool,
}

impl<'a> Ready<'a> {
    pub(super) fn new(
        api_url: &'a str,
        project: &'a Project,
        webhook_secret: Option<&'a str>,
        developer_token: Option<&'a str>,
        reach: Reach,
    ) -> Self {
        let ready = Details {
            api_url,
            project_id: &project.id,
            webhook_url: project.webhook_url.as_ref().map(Url::as_str),
            webhook_secret,
            developer_token,
            reach,
        };
        Self { ready }
    }
}

impl Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { api_url, project_id, webhook_url, webhook_secret, developer_token, reach } =
            &self.ready;
        write!(f, "{project_id} is at {api_url} and ")?;
        match webhook_url {
            Some(url) => write!(f, "delivers to {url}")?,
            None => write!(
                f,
                "delivers nothing: set the webhook URL with --webhook-url or in the inspector"
            )?,
        }
        write!(f, "\ninspector: {api_url}/")?;
        if let Some(secret) = webhook_secret {
            write!(f, "\nwebhook secret: {secret}")?;
        }
        if let Some(token) = developer_token {
            write!(f, "\ndeveloper token: {token}")?;
        }
        if reach.blocked {
            write!(
                f,
                "\n{BAD}deliveries are blocked{BAD:#}: the webhook URL leads to another machine; \
                 allow it with --allow-remote-delivery"
            )?;
        }
        if reach.open {
            write!(
                f,
                "\n{BAD}open to other machines{BAD:#}: everybody who reaches this port can confirm \
                 sessions and read secrets"
            )?;
        }
        Ok(())
    }
}

/// The state file can no longer be written, with the error, or can be written again.
#[derive(Serialize)]
pub(super) struct StateFile {
    pub(super) state_file: Option<String>,
}

impl Display for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state_file {
            None => write!(f, "state file written again: all changes are in it"),
            Some(error) => write!(
                f,
                "{BAD}state file not written{BAD:#}: {error}; the API answers 507, and a restart \
                 loses changes, until it can be written"
            ),
        }
    }
}

/// An attempt that has ended.
#[derive(Serialize)]
pub(super) struct Attempt<'a> {
    delivery: String,
    event: &'a str,
    session_token: &'a str,
    attempt: usize,
    max_attempts: u32,
    #[serde(flatten)]
    outcome: Outcome,
    state: &'static str,
}

impl<'a> Attempt<'a> {
    /// The attempt whose end caused this change of the delivery, if an attempt caused it.
    pub(super) fn just_ended(delivery: &'a Delivery) -> Option<Self> {
        let state = match delivery.state {
            DeliveryState::Queued { .. } => "queued",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            _ => return None,
        };
        let last = delivery.attempts.last()?;
        let unanswered = |error: &str| Outcome::Unanswered { error: error.to_owned() };
        let outcome = match &last.outcome {
            Emulated::Answered { status, response_body, .. } => Outcome::Answered {
                status: Status(*status),
                latency_ms: millis(last.duration),
                body: response_body.clone(),
            },
            Emulated::TimedOut => unanswered("timed out"),
            Emulated::Disconnected { reason } => unanswered(reason),
            Emulated::NotLoopback => {
                unanswered("not a loopback address: allow it with --allow-remote-delivery")
            }
            Emulated::Unreachable => unanswered("nothing was sent: the fault unreachable is on"),
            Emulated::Dropped => unanswered("cut off half-way through the request"),
            _ => unanswered("unknown"),
        };
        Some(Self {
            delivery: delivery.id.to_string(),
            event: &delivery.event,
            session_token: &delivery.session_token,
            attempt: delivery.attempts.len(),
            max_attempts: delivery.max_attempts,
            outcome,
            state,
        })
    }
}

impl Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivery, event, attempt, max_attempts, outcome, .. } = self;
        write!(
            f,
            "{FAINT}{delivery}{FAINT:#} {} {attempt}/{max_attempts}: {outcome}",
            Printable(event)
        )
    }
}
