mod endpoint;
mod finding;
mod project;
mod shape;
mod sign_in;

use reqwest::Url;
use tokio::select;

use self::{endpoint::Examination, finding::Report, project::Project, sign_in::SignIn};
use crate::{
    api::ApiArgs,
    exit::Exit,
    http::EndpointArgs,
    interrupt::Interrupts,
    output::Output,
    secret::{SecretArgs, TokenArgs},
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify doctor --url https://app.example/webhooks/bondify
  bondify doctor --origin https://app.example/login
  bondify doctor --project proj_abc123 --json";

/// Examine a webhook endpoint, a sign-in page or a project, and say what to do about each fault
///
/// Succeeds if no problem is found; a warning is no problem.
///
/// --url sends deliveries as Bondify does, some of them with a wrong signature, twice, or in an unusual
/// form. The handler receives up to four events: cancellations of sessions that do not exist, and one
/// event with an unknown name.
///
/// --origin begins a login as a browser does. --project calls each part of the API that changes nothing, and
/// begins a login. It shows the form of each answer without its values. Nobody confirms these logins, and
/// they expire.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    examined: Examined,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    endpoint: EndpointArgs,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    token: TokenArgs,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Examined {
    /// The webhook endpoint, with the address that Bondify delivers to
    #[arg(long, value_parser = values::url)]
    url: Option<Url>,

    /// The sign-in page, with the address that users open; without a path, /login
    #[arg(long, value_name = "URL", value_parser = values::url)]
    origin: Option<Url>,

    /// The project, through the API
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let mut report = Report { output, is_sound: true };
        select! {
            () = interrupts.next() => return Ok(Exit::Interrupted),
            done = self.examine(&mut report) => done?,
        }
        Ok(report.is_sound.into())
    }

    async fn examine(self, report: &mut Report) -> anyhow::Result<()> {
        let Examined { url, origin, project } = self.examined;
        if let Some(url) = url {
            let endpoint = self.endpoint.endpoint(url)?;
            let secret = self.secret.secret()?;
            Examination { endpoint, secret, timeout: self.endpoint.timeout }.run(report).await?;
        }
        if let Some(mut page) = origin {
            if page.path() == "/" {
                page.set_path("/login");
            }
            SignIn { endpoint: self.endpoint.endpoint(page)? }.run(report).await?;
        }
        if let Some(id) = project {
            let endpoint = self.endpoint.endpoint(self.api.url()?)?;
            let (token, secret) = (self.token.given()?, self.secret.given()?);
            Project { endpoint, id, token, secret }.run(report).await?;
        }
        Ok(())
    }
}
