mod shown;

use bondify_client::ProjectSettings;
use clap::Subcommand;

use self::shown::{Changed, Listed, ShownSecret};
use crate::{
    api::{ApiArgs, explained},
    exit::Exit,
    output::Output,
    secret::TokenArgs,
};

/// Manage projects, as the dashboard does
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Subcommand)]
enum Action {
    /// List all projects
    List,
    /// Create a project, and show its secret, which the API shows only once
    Create {
        /// The name that the bot shows
        name: String,

        /// The webhook URL: https:// (http:// is allowed on loopback only)
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
    },
    /// Set a project's webhook URL
    SetWebhook {
        /// The project's id
        id: String,

        /// https:// (http:// is allowed on loopback only); an empty URL removes it
        url: String,
    },
    /// Replace a project's secret, and show the new one
    ///
    /// New deliveries are signed with the new secret at once, but retries of older deliveries
    /// still carry the old signature: let the receiver accept both for a while.
    Rotate {
        /// The project's id
        id: String,
    },
    /// Delete a project
    Delete {
        /// The project's id
        id: String,
    },
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.client()?.developer(&*self.token.token()?)?;
        match self.action {
            Action::List => {
                for project in developer.projects().await.map_err(explained)? {
                    output.show(&Listed::from(project))?;
                }
            }
            Action::Create { name, webhook_url } => {
                let settings = webhook_url.as_deref().map(settings).transpose()?;
                let settings = settings.unwrap_or_default();
                let created = developer.create_project(&name, settings).await.map_err(explained)?;
                output.show(&ShownSecret::new(&created.project_id, &created.secret))?;
            }
            Action::SetWebhook { id, url } => {
                let settings = settings(&url)?;
                developer.update_project(&id, settings).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "webhook set" })?;
            }
            Action::Rotate { id } => {
                let secret = developer.regenerate(&id).await.map_err(explained)?;
                output.show(&ShownSecret::new(&id, &secret))?;
            }
            Action::Delete { id } => {
                developer.delete_project(&id).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "deleted" })?;
            }
        }
        Ok(Exit::Success)
    }
}

fn settings(webhook_url: &str) -> Result<ProjectSettings, bondify_client::Error> {
    match webhook_url {
        "" => Ok(ProjectSettings::new().no_webhook_url()),
        url => ProjectSettings::new().webhook_url(url),
    }
}
