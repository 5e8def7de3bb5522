use std::fmt::{self, Display};

use bondify_emulator::{Delivery, DeliveryState, Outcome};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{
    emulator_api::EmulatorArgs,
    exit::Exit,
    output::{BAD, FAINT, GOOD, Output, Printable},
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify deliveries --failed
  bondify deliveries --project proj_local --json";

/// List the deliveries of `bondify emulate`, newest first
///
/// With --json each delivery is an object with its body and its attempts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only the deliveries of this project
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,

    /// Only the deliveries of this session
    #[arg(long, value_name = "TOKEN", value_parser = values::text)]
    session: Option<String>,

    /// Only the deliveries that failed for good
    #[arg(long)]
    failed: bool,

    #[command(flatten)]
    emulator: EmulatorArgs,
}

/// A list of deliveries, as the control API answers.
#[derive(Deserialize)]
pub(super) struct Deliveries {
    pub(super) deliveries: Vec<Delivery>,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let project = self.project.as_deref().map(|id| ("project_id", id));
        let session = self.session.as_deref().map(|token| ("session_token", token));
        let query: Vec<_> = project.into_iter().chain(session).collect();
        let path = ["deliveries"];
        let listed: Deliveries = self.emulator.call(Method::GET, &path, &query, None).await?;
        let is_wanted =
            |delivery: &&Delivery| !self.failed || delivery.state == DeliveryState::Failed;
        for delivery in listed.deliveries.iter().filter(is_wanted) {
            output.show(&Shown(delivery))?;
        }
        Ok(Exit::Success)
    }
}

/// A delivery. In JSON it is whole.
#[derive(Serialize)]
pub(super) struct Shown<'a>(pub(super) &'a Delivery);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery { id, event, session_token, state, attempts, max_attempts, .. } = self.0;
        let (style, state) = match state {
            DeliveryState::Queued { .. } => (FAINT, "queued"),
            DeliveryState::Sending => (FAINT, "sending"),
            DeliveryState::Delivered => (GOOD, "delivered"),
            DeliveryState::Failed => (BAD, "failed"),
            _ => (FAINT, "unknown"),
        };
        write!(
            f,
            "{id} {} {}: {style}{state}{style:#}",
            Printable(event),
            Printable(session_token)
        )?;
        let Some(last) = attempts.last() else { return Ok(()) };
        write!(f, ", attempt {}/{max_attempts}: ", attempts.len())?;
        match &last.outcome {
            Outcome::Disconnected { reason } => write!(f, "{}", Printable(reason)),
            outcome => write!(f, "{outcome}"),
        }
    }
}
