mod shown;

use anyhow::Context as _;
use bondify_client::{Developer, ProjectSettings, SecretKey, WebhookSecret};
use clap::Subcommand;

use self::shown::{Changed, Listed, Secrets};
use crate::{
    api::{DeveloperArgs, explained, is_complete},
    exit::Exit,
    output::Output,
    values,
};

/// Manage projects, as the dashboard does
#[derive(clap::Args)]
#[command(after_help = PROJECTS)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    api: DeveloperArgs,
}

const PROJECTS: &str = "\
Examples:
  bondify projects list
  bondify projects create Shop --webhook-url https://shop.example/webhooks/bondify";

const LIST: &str = "\
Examples:
  bondify projects list
  bondify projects list --json --api-url http://127.0.0.1:4680";

const CREATE: &str = "\
Examples:
  bondify projects create Shop
  bondify projects create Shop --public-access --webhook-url https://shop.example/webhooks/bondify";

const UPDATE: &str = "\
Examples:
  bondify projects update proj_abc123 --public-access true
  bondify projects update proj_abc123 --name Shop --active false";

const SET_WEBHOOK: &str = "\
Examples:
  bondify projects set-webhook proj_abc123 https://shop.example/webhooks/bondify
  bondify projects set-webhook proj_abc123 ''";

const WEBHOOK_SECRET: &str = "\
Examples:
  bondify projects webhook-secret proj_abc123
  bondify projects webhook-secret proj_abc123 --json";

const ROTATE: &str = "\
Examples:
  bondify projects rotate proj_abc123";

const DELETE: &str = "\
Examples:
  bondify projects delete proj_abc123";

#[derive(Subcommand)]
enum Action {
    /// List all projects
    #[command(after_help = LIST)]
    List,
    /// Create a project, and show its secret key and its webhook secret
    ///
    /// The API shows the secret key only once. The webhook secret signs deliveries and proofs;
    /// `bondify projects webhook-secret` shows it again.
    #[command(after_help = CREATE)]
    Create {
        /// The name that the bot shows
        #[arg(value_parser = values::text)]
        name: String,

        /// The webhook URL: https:// (http:// is allowed to this machine)
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,

        /// Let the public API and `bondify login` serve the project
        #[arg(long)]
        public_access: bool,
    },
    /// Change the settings that are given, and keep the others
    #[command(after_help = UPDATE)]
    Update {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,

        #[command(flatten)]
        changes: Changes,
    },
    /// Set a project's webhook URL
    #[command(after_help = SET_WEBHOOK)]
    SetWebhook {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,

        /// https:// (http:// is allowed to this machine); an empty URL removes it
        url: String,
    },
    /// Show a project's webhook secret, which signs deliveries and proofs
    #[command(after_help = WEBHOOK_SECRET)]
    WebhookSecret {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
    /// Replace a project's secret key and webhook secret, and show the new ones
    ///
    /// New deliveries are signed with the new secret at once, but retries of older deliveries
    /// still carry the old signature: let the receiver accept both for a while.
    #[command(after_help = ROTATE)]
    Rotate {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
    /// Delete a project
    #[command(after_help = DELETE)]
    Delete {
        /// The project's id
        #[arg(value_parser = values::text)]
        id: String,
    },
}

/// Changes to a project.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// The name that the bot shows
    #[arg(long, value_parser = values::text)]
    name: Option<String>,

    /// https:// (http:// is allowed to this machine); an empty URL removes it
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,

    /// Whether users can log in
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,

    /// Whether the public API and `bondify login` serve the project
    #[arg(long, value_name = "BOOL")]
    public_access: Option<bool>,

    /// Whether users are asked for their phone number
    #[arg(long, value_name = "BOOL")]
    req_phone: Option<bool>,
}

impl Changes {
    fn settings(&self) -> Result<ProjectSettings, bondify_client::Error> {
        let mut changes = match &self.webhook_url {
            Some(url) => settings(url)?,
            None => ProjectSettings::new(),
        };
        if let Some(name) = &self.name {
            changes = changes.name(name);
        }
        if let Some(active) = self.active {
            changes = changes.active(active);
        }
        if let Some(public_access) = self.public_access {
            changes = changes.public_access(public_access);
        }
        if let Some(req_phone) = self.req_phone {
            changes = changes.req_phone(req_phone);
        }
        Ok(changes)
    }
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.developer()?;
        match self.action {
            Action::List => {
                let list = developer.projects().await.map_err(explained)?;
                let is_complete = is_complete(&list, "projects");
                for project in list.records {
                    output.show(&Listed::from(project))?;
                }
                return Ok(is_complete.into());
            }
            Action::Create { name, webhook_url, public_access } => {
                let settings = webhook_url.as_deref().map(settings).transpose()?;
                let mut settings = settings.unwrap_or_default();
                if public_access {
                    settings = settings.public_access(true);
                }
                let created = developer.create_project(&name, settings).await.map_err(explained)?;
                let key = created.secret_key.as_ref();
                show_new(&mut output, &developer, &created.project_id, key).await?;
            }
            Action::SetWebhook { id, url } => {
                let settings = settings(&url)?;
                developer.update_project(&id, settings).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "webhook set" })?;
            }
            Action::Update { id, changes } => {
                developer.update_project(&id, changes.settings()?).await.map_err(explained)?;
                output.show(&Changed { project_id: &id, done: "updated" })?;
            }
            Action::WebhookSecret { id } => {
                let secret = developer.webhook_secret(&id).await.map_err(explained)?;
                let webhook_secret = Some(secret.expose());
                output.show(&Secrets { project_id: &id, secret_key: None, webhook_secret })?;
            }
            Action::Rotate { id } => {
                let secret_key = developer.regenerate(&id).await.map_err(explained)?;
                show_new(&mut output, &developer, &id, Some(&secret_key)).await?;
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
    secret_key: Option<&SecretKey>,
) -> anyhow::Result<()> {
    let webhook_secret = developer.webhook_secret(project_id).await;
    output.show(&Secrets {
        project_id,
        secret_key: secret_key.map(SecretKey::expose),
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
