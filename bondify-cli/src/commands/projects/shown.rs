use std::fmt::{self, Display};

use bondify_client::Project;
use serde::Serialize;

use crate::output::{BAD, FAINT, Printable};

/// A project of the list.
#[derive(Serialize)]
pub(super) struct Listed {
    project_id: String,
    name: String,
    webhook_url: Option<String>,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_access: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_preview: Option<String>,
}

impl From<Project> for Listed {
    fn from(project: Project) -> Self {
        let Project { project_id, name, webhook_url, active, .. } = project;
        let Project { public_access, secret_preview, .. } = project;
        Self { project_id, name, webhook_url, active, public_access, secret_preview }
    }
}

impl Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project_id, name, webhook_url, active, .. } = self;
        let webhook_url = webhook_url.as_deref().unwrap_or("no webhook URL");
        write!(f, "{}  {}", Printable(project_id), Printable(name))?;
        write!(f, "  {FAINT}{}{FAINT:#}", Printable(webhook_url))?;
        if *active { Ok(()) } else { write!(f, "  {BAD}inactive{BAD:#}") }
    }
}

/// The secrets of a project. The API shows the secret key once, and the webhook secret at any
/// time.
#[derive(Serialize)]
pub(super) struct Secrets<'a> {
    pub(super) project_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_secret: Option<&'a str>,
}

impl Display for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(self.project_id))?;
        if let Some(key) = self.secret_key {
            write!(f, "\nsecret key: {}", Printable(key))?;
        }
        if let Some(secret) = self.webhook_secret {
            write!(f, "\nwebhook secret: {}", Printable(secret))?;
        }
        Ok(())
    }
}

/// A change that was made.
#[derive(Serialize)]
pub(super) struct Changed<'a> {
    pub(super) project_id: &'a str,
    pub(super) done: &'static str,
}

impl Display for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Printable(self.project_id), self.done)
    }
}
