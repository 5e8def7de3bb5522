mod shown;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use bondify_emulator::{Builder, Change, Emulator, Plan, ProjectSettings};
use clap::ValueEnum;
use reqwest::Url;
use tokio::select;
use zeroize::Zeroizing;

use self::shown::{Attempt, Ready};
use crate::{
    exit::Exit,
    http,
    interrupt::Interrupts,
    output::Output,
    secret::{SecretArgs, TokenArgs, utf8},
};

/// Run a local Bondify: its API, its bot and its deliveries
///
/// Shows its URL, and then each attempt to deliver an event. A secret and a developer token
/// that are not given are generated and shown. The project has public access. Ctrl-C ends it,
/// with exit code 0.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port of 127.0.0.1 to listen on; 0 is any free port
    #[arg(long, default_value = "4680")]
    port: u16,

    /// The id of the project
    #[arg(long, value_name = "ID", default_value = "proj_local")]
    project: String,

    /// The project's webhook URL [default: events are not delivered]
    #[arg(long, value_name = "URL", value_parser = http::parse_url)]
    webhook_url: Option<Url>,

    /// Also deliver to other machines
    #[arg(long)]
    allow_remote_delivery: bool,

    /// The number of retries of a failed delivery [default: 3, with priority 6]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,

    /// The delay before the first retry; it doubles with each further retry
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    #[arg(value_parser = humantime::parse_duration)]
    retry_base: Duration,

    /// The time-out of an attempt
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// The project's plan; pro and business have priority
    #[arg(long, default_value = "hobby")]
    plan: PlanName,

    /// File that keeps everything over restarts [default: nothing is kept]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum PlanName {
    Hobby,
    Pro,
    Business,
}

impl From<PlanName> for Plan {
    fn from(name: PlanName) -> Self {
        match name {
            PlanName::Hobby => Self::Hobby,
            PlanName::Pro => Self::Pro,
            PlanName::Business => Self::Business,
        }
    }
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let (secret, token) = (self.secret.given()?, self.token.given()?);
        let secret = secret
            .map(|bytes| utf8(&bytes))
            .transpose()
            .context("the secret is not valid UTF-8")?;
        let (has_secret, has_token) = (secret.is_some(), token.is_some());
        let project = self.project.clone();
        let emulator = self.builder(secret, token).start().await?;
        let mut changes = emulator.changes();

        let project = emulator.project(&project)?;
        let secret = (!has_secret).then(|| project.reveal_secret());
        let token = (!has_token).then(|| emulator.developer_token());
        output.show(&Ready::new(emulator.url(), &project, secret, token))?;
        loop {
            let change = select! {
                () = interrupts.next() => break,
                change = changes.next() => change,
            };
            if let Some(Change::Delivery(delivery)) = change
                && let Some(attempt) = Attempt::just_ended(&delivery)
            {
                output.show(&attempt)?;
            }
        }
        select! {
            () = emulator.stop() => Ok(Exit::Success),
            () = interrupts.next() => Ok(Exit::Interrupted),
        }
    }

    fn builder(
        self,
        secret: Option<Zeroizing<String>>,
        token: Option<Zeroizing<String>>,
    ) -> Builder {
        let project = ProjectSettings::new().id(self.project).plan(self.plan.into());
        let mut project = project.public_access(true);
        if let Some(secret) = secret {
            project = project.secret(&*secret);
        }
        if let Some(url) = self.webhook_url {
            project = project.webhook_url(url);
        }
        let mut builder = Emulator::builder()
            .port(self.port)
            .project(project)
            .retry_base(self.retry_base)
            .timeout(self.timeout);
        if let Some(retries) = self.retries {
            builder = builder.retries(retries).priority_retries(retries);
        }
        if let Some(token) = token {
            builder = builder.developer_token(&*token);
        }
        if let Some(path) = self.state {
            builder = builder.state(path);
        }
        if self.allow_remote_delivery { builder.allow_remote_delivery() } else { builder }
    }
}
