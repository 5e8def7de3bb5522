use std::fmt::{self, Display};

use bondify_client::SessionRecord;
use serde::Serialize;

use crate::{
    api::{DeveloperArgs, explained, is_complete},
    exit::Exit,
    output::{BAD, FAINT, GOOD, Output, Printable, rfc3339},
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify sessions
  bondify sessions --project proj_abc123 --json";

/// List the sessions of all projects, or of one
///
/// Succeeds only if every session could be read.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only the sessions of this project
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,

    #[command(flatten)]
    api: DeveloperArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.developer()?;
        let list = developer.sessions().await.map_err(explained)?;
        let is_complete = is_complete(&list, "sessions");
        let is_wanted = |session: &SessionRecord| {
            self.project.as_ref().is_none_or(|id| *id == session.project_id)
        };
        for session in list.records.into_iter().filter(is_wanted) {
            output.show(&Shown::from(session))?;
        }
        Ok(is_complete.into())
    }
}

#[derive(Serialize)]
struct Shown {
    session_token: String,
    project_id: String,
    status: String,
    /// RFC 3339.
    created_at: Option<String>,
    confirmed_at: Option<String>,
    telegram_id: Option<String>,
    telegram_name: Option<String>,
    telegram_username: Option<String>,
}

impl From<SessionRecord> for Shown {
    fn from(session: SessionRecord) -> Self {
        let login = session.status.login();
        let (confirmed_at, user) = (login.and_then(|login| login.confirmed_at()), session.user());
        Self {
            status: session.status.name().to_owned(),
            created_at: session.created_at.map(rfc3339),
            confirmed_at: confirmed_at.map(rfc3339),
            telegram_id: user.map(|user| user.id().to_string()),
            telegram_name: user.map(|user| user.name().to_owned()),
            telegram_username: user.and_then(|user| user.username()).map(str::to_owned),
            session_token: session.session_token,
            project_id: session.project_id,
        }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_token, project_id, status, created_at, .. } = self;
        let style = match &**status {
            "confirmed" | "used" => GOOD,
            "pending" | "expired" | "cancelled" => FAINT,
            _ => BAD,
        };
        let created_at = created_at.as_deref().unwrap_or("no time");
        write!(f, "{FAINT}{created_at}{FAINT:#} {style}{}{style:#}", Printable(status))?;
        write!(f, " {} {}", Printable(project_id), Printable(session_token))?;
        match (&self.telegram_id, &self.telegram_name) {
            (Some(id), Some(name)) => write!(f, " {} {}", Printable(id), Printable(name)),
            _ => Ok(()),
        }
    }
}
