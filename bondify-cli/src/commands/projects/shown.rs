use std::fmt::{self, Display};

use bondify_client::{Project, ProjectSecret};
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

/// A new secret, which is shown once.
#[derive(Serialize)]
pub(super) struct ShownSecret<'a> {
    project_id: &'a str,
    webhook_secret: &'a str,
}

impl<'a> ShownSecret<'a> {
    pub(super) fn new(project_id: &'a str, secret: &'a ProjectSecret) -> Self {
        Self { project_id, webhook_secret: secret.expose() }
    }
}

impl Display for ShownSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project_id, webhook_secret } = self;
        write!(f, "{}\nwebhook secret: {}", Printable(project_id), Printable(webhook_secret))
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
