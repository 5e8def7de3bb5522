mod shown;

use std::{pin::pin, time::Duration};

use anyhow::{bail, ensure};
use bondify_client::Developer;
use bondify_core::{Event, SIGNATURE_HEADER, Secret};
use futures_util::{StreamExt as _, stream};
use humantime::format_duration;
use reqwest::{Url, header::CONTENT_TYPE};
use tokio::select;

use self::shown::{Listed, Sent, Tally};
use crate::{
    api::{DeveloperArgs, is_complete, retried},
    exit::Exit,
    http::{self, Endpoint, EndpointArgs},
    interrupt::Interrupts,
    output::{Output, Printable},
    progress,
    secret::SecretArgs,
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify catch-up --since 2h --url https://app.example/webhooks/bondify --dry-run
  bondify catch-up --since 2h --url https://app.example/webhooks/bondify";

/// Deliver the events that an endpoint missed during an outage
///
/// Lists the project's sessions through the developer API, makes a signed delivery of each login
/// and cancellation, and sends them, the oldest first. An endpoint that deduplicates handles only
/// the events that it has not handled before. Succeeds only if every session could be read and every
/// answer is 2xx. The deliveries have no phone numbers, and the time of a cancellation is that of its
/// session's creation, because the API does not list them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The project whose sessions to deliver [default: the account's only project]
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,

    /// The age of the oldest event to deliver; endpoints may refuse older events than 24h
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    since: Duration,

    /// The age of the youngest event to deliver. Bondify may still retry the webhook of a younger
    /// one, which has the phone number
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = values::age)]
    min_age: Duration,

    /// The endpoint to deliver to
    #[arg(long, value_parser = values::url, required_unless_present = "dry_run")]
    url: Option<Url>,

    /// List the events, and send nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    api: DeveloperArgs,

    #[command(flatten)]
    endpoint: EndpointArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        ensure!(
            self.min_age < self.since,
            "no event is older than --min-age {} and younger than --since {}: with --min-age 0s, \
             events are sent whose webhook Bondify may still retry",
            format_duration(self.min_age),
            format_duration(self.since),
        );
        let mut interrupts = Interrupts::new()?;
        let developer = self.api.developer()?;
        let found = select! {
            () = interrupts.next() => return Ok(Exit::Interrupted),
            found = self.find(&developer) => found?,
        };
        let Found { events, secret, is_complete, mut tally } = found;
        let Some((endpoint, secret)) = self.endpoint()?.zip(secret) else {
            for event in &events {
                output.show(&Listed::new(event))?;
            }
            return Ok(is_complete.into());
        };
        let progress = progress::bar(events.len() as u64);
        let sent =
            stream::iter(&events).then(async |event| deliver(&endpoint, &secret, event).await);
        let mut sent = pin!(sent);
        let interrupted = loop {
            let sent = select! {
                () = interrupts.next() => break true,
                sent = sent.next() => sent,
            };
            let Some(sent) = sent else { break false };
            tally.add(&sent);
            if output.is_json() || !sent.is_accepted() {
                progress.suspend(|| output.show(&sent))?;
            }
            progress.inc(1);
        };
        progress.finish_and_clear();
        output.show(&tally)?;
        let success = tally.all_accepted() && is_complete;
        Ok(if interrupted { Exit::Interrupted } else { success.into() })
    }

    /// The endpoint to deliver to; `None` in a dry run.
    fn endpoint(&self) -> anyhow::Result<Option<Endpoint>> {
        let url = self.url.clone().filter(|_| !self.dry_run);
        url.map(|url| self.endpoint.endpoint(url)).transpose()
    }

    /// Lists the project's events through the API.
    async fn find(&self, developer: &Developer) -> anyhow::Result<Found> {
        let project = self.project(developer).await?;
        let ages = self.min_age..=self.since;
        let past = retried(async || developer.past_events(&project, ages.clone()).await).await?;
        let is_complete = is_complete(&past.events, "sessions");
        let secret = match self.dry_run {
            true => None,
            false => Some(self.secret(developer, &project).await?),
        };
        let (events, unreadable) = (past.events.records, past.events.unreadable);
        let tally = Tally::new(events.len(), past.too_young, unreadable);
        Ok(Found { events, secret, is_complete, tally })
    }

    /// The project that is given, or else the only one of the account.
    async fn project(&self, developer: &Developer) -> anyhow::Result<String> {
        if let Some(project) = &self.project {
            return Ok(project.clone());
        }
        let projects = retried(async || developer.projects().await).await?;
        let ids: Vec<_> = projects.records.into_iter().map(|project| project.project_id).collect();
        match (&ids[..], projects.problem) {
            ([id], None) => Ok(id.clone()),
            (_, Some(problem)) => bail!("choose a project with --project: {problem}"),
            ([], None) => bail!("there is no project"),
            (ids, None) => bail!(
                "there are several projects: choose one with --project: {}",
                Printable(&ids.join(", "))
            ),
        }
    }

    /// The secret that is given, or else the one that the API returns.
    async fn secret(&self, developer: &Developer, project: &str) -> anyhow::Result<Secret> {
        if self.secret.given()?.is_some() {
            return self.secret.secret();
        }
        let secret = retried(async || developer.webhook_secret(project).await).await?;
        Ok(secret.secret().clone())
    }
}

/// The events of a project, and what is needed to deliver them.
struct Found {
    events: Vec<Event>,
    /// `None` in a dry run.
    secret: Option<Secret>,
    /// Whether every session was listed and read.
    is_complete: bool,
    tally: Tally,
}

async fn deliver(endpoint: &Endpoint, secret: &Secret, event: &Event) -> Sent {
    let body = event.raw().clone();
    let signature = secret.sign(&body).to_string();
    let request = endpoint.post().header(CONTENT_TYPE, "application/json");
    let request = request.header(SIGNATURE_HEADER, signature).body(body);
    Sent::new(event, http::send(request).await)
}
