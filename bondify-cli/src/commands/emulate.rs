mod shown;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use bondify_emulator::{Builder, Change, Emulator, Fault, Plan, ProjectSettings, Reading};
use clap::ValueEnum;
use reqwest::Url;
use tokio::select;
use zeroize::Zeroizing;

use self::shown::{Attempt, Reach, Ready, StateFile};
use crate::{
    exit::Exit,
    host::HostArgs,
    interrupt::Interrupts,
    output::Output,
    secret::{SecretArgs, TokenArgs, utf8},
    tls::TlsArgs,
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify emulate --webhook-url http://127.0.0.1:3000/webhooks/bondify
  bondify emulate --port 0 --fault duplicate --reading used-at-once --state bondify.db";

/// Run a local Bondify: its API, its bot and its deliveries
///
/// Shows its URL, and then each attempt to deliver an event. A secret and a developer token
/// that are not given are generated and shown. The project has public access. Ctrl-C ends it,
/// with exit code 0.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The port to listen on; 0 is any free port
    #[arg(long, default_value = "4680")]
    port: u16,

    #[command(flatten)]
    host: HostArgs,

    /// Also answer to this host name, such as the name of a container; repeatable
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    allowed_host: Vec<String>,

    /// The id of the project
    #[arg(long, value_name = "ID", default_value = "proj_local", value_parser = values::text)]
    project: String,

    /// The project's webhook URL [default: events are not delivered]
    #[arg(long, value_name = "URL", value_parser = values::url)]
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
    #[arg(value_parser = values::duration)]
    timeout: Duration,

    /// The project's plan; pro and business have priority
    #[arg(long, default_value = "hobby")]
    plan: PlanName,

    /// A fault to inject from the start; repeatable. The inspector lists them
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,

    /// Answer in another way that the sources of Bondify's API allow; repeatable: no-status,
    /// used-at-once, end-codes, no-expiry, text-times, iso-times, sql-values, docs-names,
    /// sdk-names, pages
    #[arg(long, value_name = "NAME")]
    reading: Vec<Reading>,

    /// File that keeps projects, sessions and deliveries across restarts [default: nothing is kept]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

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
        let open = self.host.is_open();
        let emulator = self.builder(secret, token)?.start().await?;
        let mut changes = emulator.changes();

        let project = emulator.project(&project)?;
        let secret = (!has_secret).then(|| project.reveal_secret());
        let token = (!has_token).then(|| emulator.developer_token());
        let blocked = match &project.webhook_url {
            Some(url) => emulator.blocks(url).await,
            None => false,
        };
        let reach = Reach { open, blocked };
        output.show(&Ready::new(emulator.url(), &project, secret, token, reach))?;
        loop {
            let change = select! {
                () = interrupts.next() => break,
                change = changes.next() => change,
            };
            match change {
                Some(Change::Delivery(delivery)) => {
                    if let Some(attempt) = Attempt::just_ended(&delivery) {
                        output.show(&attempt)?;
                    }
                }
                Some(Change::StateFile(error)) => output.show(&StateFile { state_file: error })?,
                _ => {}
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
    ) -> anyhow::Result<Builder> {
        let project = ProjectSettings::new().id(self.project).plan(self.plan.into());
        let mut project = project.public_access(true);
        if let Some(secret) = secret {
            project = project.secret(&*secret);
        }
        if let Some(url) = self.webhook_url {
            project = project.webhook_url(url);
        }
        if !self.fault.is_empty() {
            project = project.faults(self.fault);
        }
        let builder = self.reading.into_iter().fold(Emulator::builder(), Builder::reading);
        let mut builder = builder
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
        if let Some(ip) = self.host.ip() {
            builder = builder.bind(ip);
        }
        for name in self.allowed_host {
            builder = builder.allowed_host(name);
        }
        if let Some(pem) = self.tls.ca_pem()? {
            builder = builder.trust_certificates(pem);
        }
        for host in self.tls.insecure_hosts() {
            builder = builder.accept_any_certificate_of(host);
        }
        Ok(if self.allow_remote_delivery { builder.allow_remote_delivery() } else { builder })
    }
}
