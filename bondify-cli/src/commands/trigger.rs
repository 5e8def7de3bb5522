mod attempt;
mod event;
mod summary;

use std::{num::NonZero, path::PathBuf, pin::pin};

use bondify_core::{SIGNATURE_HEADER, Secret};
use bondify_emulator::Fault;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use reqwest::{Body, Url, header::CONTENT_TYPE};
use tokio::{join, select};

use self::{
    attempt::Attempt,
    event::{Event, EventArgs, Events},
    summary::Tally,
};
use crate::{
    body,
    exit::Exit,
    http::{self, Endpoint, EndpointArgs},
    interrupt::Interrupts,
    output::Output,
    progress,
    secret::SecretArgs,
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify trigger auth.confirmed --url http://127.0.0.1:3000/webhooks/bondify
  bondify trigger auth.confirmed --url http://127.0.0.1:3000/webhooks/bondify --fault duplicate";

/// Send signed deliveries to an endpoint
///
/// Succeeds only if every answer is 2xx. Several events end with a summary; with --json each
/// delivery is an object, and the summary is the last object.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    event: EventArgs,

    /// File to send as the body instead; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// The endpoint to deliver to
    #[arg(long, value_parser = values::url)]
    url: Url,

    /// The fault to inject
    #[arg(long, value_parser = fault_parser())]
    fault: Option<Fault>,

    /// The number of events to deliver
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = values::count::<NonZero<u64>>)]
    count: NonZero<u64>,

    /// The number of events to deliver at the same time
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = values::count::<NonZero<usize>>)]
    concurrency: NonZero<usize>,

    #[command(flatten)]
    endpoint: EndpointArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

/// Parses the emulator's faults, except for two: this command sends each delivery, and at once.
fn fault_parser() -> impl TypedValueParser<Value = Fault> {
    let is_here = |fault: &Fault| !matches!(fault, Fault::Delay(_) | Fault::Unreachable);
    let faults = Fault::ALL.into_iter().filter(is_here);
    let values = faults.map(|fault| PossibleValue::new(fault.name()).help(fault.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Fault>())
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let (count, concurrency) = (self.count.get(), self.concurrency.get());
        let sender = Sender::new(self)?;
        let deliveries = stream::iter(1..=count).map(|number| sender.deliver(number));
        let mut deliveries = pin!(deliveries.buffer_unordered(concurrency));

        let many = count > 1;
        let progress = if many { progress::bar(count) } else { ProgressBar::hidden() };
        let mut tally = Tally::start();
        let interrupted = loop {
            let attempts = select! {
                () = interrupts.next() => break true,
                attempts = deliveries.next() => attempts,
            };
            let Some(attempts) = attempts else { break false };
            tally.add_event(&attempts);
            for attempt in attempts {
                if output.is_json() || !many {
                    progress.suspend(|| output.show(&attempt))?;
                }
            }
            progress.inc(1);
        };
        progress.finish_and_clear();

        let summary = tally.sum_up(count);
        if output.is_json() || many || interrupted {
            output.show(&summary)?;
        }
        Ok(if interrupted { Exit::Interrupted } else { summary.all_accepted().into() })
    }
}

struct Sender {
    endpoint: Endpoint,
    secret: Secret,
    events: Events,
    fault: Option<Fault>,
}

impl Sender {
    fn new(args: Args) -> anyhow::Result<Self> {
        let secret = args.secret.secret()?;
        Ok(Self {
            endpoint: args.endpoint.endpoint(args.url)?,
            secret: match args.fault {
                Some(Fault::WrongSecret) => Secret::new(getrandom::u64()?.to_string())?,
                _ => secret,
            },
            events: match args.body {
                Some(path) => Events::given(body::read(&path)?, args.fault)?,
                None => Events::new(args.event, args.fault)?,
            },
            fault: args.fault,
        })
    }

    /// Delivers the event of this number, in one attempt or two.
    async fn deliver(&self, number: u64) -> Vec<Attempt> {
        let event = self.events.event(number);
        let attempt = || self.attempt(number, &event);
        match self.fault {
            Some(Fault::Duplicate) => vec![attempt().await, attempt().await],
            Some(Fault::ConcurrentDuplicate) => <[_; 2]>::from(join!(attempt(), attempt())).into(),
            _ => vec![attempt().await],
        }
    }

    async fn attempt(&self, number: u64, event: &Event) -> Attempt {
        let body = event.body.clone();
        let signature = self.secret.sign(&body).to_string();
        let body = match self.fault {
            Some(Fault::TamperedBody) => {
                Body::from(Fault::tampered(&String::from_utf8_lossy(&body)))
            }
            Some(Fault::DropConnection) => http::half_of(body),
            _ => body.into(),
        };
        let request = self.endpoint.post().body(body);
        let request = request.header(CONTENT_TYPE, "application/json");
        let answer = http::send(request.header(SIGNATURE_HEADER, signature)).await;
        Attempt::new(number, event.session_token.clone(), answer)
    }
}
