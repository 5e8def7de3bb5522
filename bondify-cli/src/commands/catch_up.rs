mod shown;

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use bondify_client::{Developer, SessionRecord};
use bondify_core::{Event, SIGNATURE_HEADER, Secret};
use futures_util::{StreamExt as _, stream};
use reqwest::{Url, header::CONTENT_TYPE};
use tokio::select;

use self::shown::{Listed, Sent, Tally};
use crate::{
    api::{ApiArgs, explained},
    exit::Exit,
    http::{self, Endpoint},
    interrupt::Interrupts,
    output::{Output, Printable},
    progress,
    secret::{SecretArgs, TokenArgs},
    tls::TlsArgs,
    values,
};

/// Deliver the events that an endpoint missed during an outage
///
/// Lists the project's sessions through the developer API, makes a signed delivery of each login
/// and cancellation, and sends them, the oldest first. An endpoint that deduplicates handles only
/// the events that it has not handled before. Succeeds only if every answer is 2xx. The deliveries
/// have no phone numbers, and the time of a cancellation is that of its session's creation, because
/// the API does not list them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The project whose sessions to deliver [default: the only one that has sessions]
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,

    /// The age of the oldest event to deliver; endpoints may refuse older events than 24h
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    since: Duration,

    /// The endpoint to deliver to
    #[arg(long, value_parser = values::url, required_unless_present = "dry_run")]
    url: Option<Url>,

    /// List the events, and send nothing
    #[arg(long)]
    dry_run: bool,

    /// The time-out for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = values::duration)]
    timeout: Duration,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    token: TokenArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let developer = self.api.client()?.developer(&*self.token.token()?)?;
        let sessions = developer.sessions().await.map_err(explained)?;
        let Some(project) = self.project(&sessions)? else {
            output.show(&Tally::new(0))?;
            return Ok(Exit::Success);
        };
        let events = self.events(&sessions, project);
        let Some(url) = self.url.clone().filter(|_| !self.dry_run) else {
            for event in &events {
                output.show(&Listed::new(event))?;
            }
            return Ok(Exit::Success);
        };

        let endpoint = Endpoint::new(url, self.timeout, &self.tls)?;
        let secret = self.secret(&developer, project).await?;
        let progress = progress::bar(events.len() as u64);
        let mut tally = Tally::new(events.len());
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
        Ok(if interrupted { Exit::Interrupted } else { tally.all_accepted().into() })
    }

    /// The project that is given, or else the only one of the sessions; `None` without sessions.
    fn project<'a>(&'a self, sessions: &'a [SessionRecord]) -> anyhow::Result<Option<&'a str>> {
        if self.project.is_some() {
            return Ok(self.project.as_deref());
        }
        let ids: BTreeSet<_> = sessions.iter().map(|session| &*session.project_id).collect();
        ensure!(
            ids.len() <= 1,
            "there are sessions of several projects: choose one with --project: {}",
            Printable(&Vec::from_iter(ids.iter().copied()).join(", ")),
        );
        Ok(ids.into_iter().next())
    }

    /// The project's events of the window, the oldest first.
    fn events(&self, sessions: &[SessionRecord], project: &str) -> Vec<Event> {
        let start = SystemTime::now().checked_sub(self.since).unwrap_or(SystemTime::UNIX_EPOCH);
        let of_project = sessions.iter().filter(|session| session.project_id == project);
        let events = of_project.filter_map(SessionRecord::event);
        let mut events: Vec<_> =
            events.filter(|event| event.occurred_at() >= Some(start)).collect();
        events.sort_by_key(Event::occurred_at);
        events
    }

    /// The secret that is given, or else the one that the API returns.
    async fn secret(&self, developer: &Developer, project: &str) -> anyhow::Result<Secret> {
        if self.secret.given()?.is_some() {
            return self.secret.secret();
        }
        let secret = developer.webhook_secret(project).await.map_err(explained)?;
        Ok(secret.secret().clone())
    }
}

async fn deliver(endpoint: &Endpoint, secret: &Secret, event: &Event) -> Sent {
    let body = event.raw().clone();
    let signature = secret.sign(&body).to_string();
    let request = endpoint.post().header(CONTENT_TYPE, "application/json");
    let request = request.header(SIGNATURE_HEADER, signature).body(body);
    Sent::new(event, http::send(request).await)
}
