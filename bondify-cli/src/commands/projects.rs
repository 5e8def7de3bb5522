mod shown;

use anyhow::Context as _;
use bondify_client::{Developer, ProjectSettings, SecretKey, WebhookSecret};
use clap::Subcommand;

use self::shown::{Changed, Listed, Secrets};
use crate::{
    api::{ApiArgs, explained, is_complete},
    exit::Exit,
    output::Output,
    secret::TokenArgs,
    values,
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
    /// Create a project, and show its secret key and its webhook secret
    ///
    /// The API shows the secret key only once. The webhook secret signs deliveries and proofs;
    /// `bondify projects webhook-secret` shows it again.
    Create {
        /// The name that the bot shows
        #[arg(value_parser = values::text)]
        name: String,

        /// The webhook URL: https:// (http:// is allowed to this machine)
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
    },
    /// Set a project's webhook URL
    SetWebhook {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,

        /// https:// (http:// is allowed to this machine); an empty URL removes it
        url: String,
    },
    /// Show a project's webhook secret, which signs deliveries and proofs
    WebhookSecret {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
    /// Replace a project's secret key and webhook secret, and show the new ones
    ///
    /// New deliveries are signed with the new secret at once, but retries of older deliveries
    /// still carry the old signature: let the receiver accept both for a while.
    Rotate {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
    /// Delete a project
    Delete {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.client()?.developer(&*self.token.token()?)?;
        match self.action {
            Action::List => {
                let list = developer.projects().await.map_err(explained)?;
                let is_complete = is_complete(&list, "projects");
                for project in list.records {
                    output.show(&Listed::from(project))?;
                }
                return Ok(is_complete.into());
            }
            Action::Create { name, webhook_url } => {
                let settings = webhook_url.as_deref().map(settings).transpose()?;
                let settings = settings.unwrap_or_default();
                let created = developer.create_project(&name, settings).await.map_err(explained)?;
                show_new(&mut output, &developer, &created.project_id, &created.secret_key).await?;
            }
            Action::SetWebhook { id, url } => {
                let settings = settings(&url)?;
                developer.update_project(&id, settings).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "webhook set" })?;
            }
            Action::WebhookSecret { id } => {
                let secret = developer.webhook_secret(&id).await.map_err(explained)?;
                let webhook_secret = Some(secret.expose());
                output.show(&Secrets { project_id: &id, secret_key: None, webhook_secret })?;
            }
            Action::Rotate { id } => {
                let secret_key = developer.regenerate(&id).await.map_err(explained)?;
                show_new(&mut output, &developer, &id, &secret_key).await?;
            }
            Action::Delete { id } => {
                developer.delete_project(&id).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "deleted" })?;
            }
        }
        Ok(Exit::Success)
    }
}

/// Shows a new secret key, and the webhook secret that belongs to it. The key is shown even if
/// the API does not return the webhook secret, because it does not return the key again.
async fn show_new(
    output: &mut Output,
    developer: &Developer,
    project_id: &str,
    secret_key: &SecretKey,
) -> anyhow::Result<()> {
    let webhook_secret = developer.webhook_secret(project_id).await;
    output.show(&Secrets {
        project_id,
        secret_key: Some(secret_key.expose()),
        webhook_secret: webhook_secret.as_ref().ok().map(WebhookSecret::expose),
    })?;
    webhook_secret.map_err(explained).context(
        "the webhook secret could not be read; try `bondify projects webhook-secret` later",
    )?;
    Ok(())
}

fn settings(webhook_url: &str) -> Result<ProjectSettings, bondify_client::Error> {
    match webhook_url {
        "" => Ok(ProjectSettings::new().no_webhook_url()),
        url => ProjectSettings::new().webhook_url(url),
    }
}
