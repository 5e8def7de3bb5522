use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use bondify_emulator::{Delivery, DeliveryId, DeliveryState};
use clap::ArgGroup;
use reqwest::{Method, Url};
use serde_json::{Map, Value};
use tokio::{select, time::sleep};

use super::deliveries::{Deliveries, Shown};
use crate::{
    body, emulator_api::EmulatorArgs, exit::Exit, interrupt::Interrupts, output::Output, values,
};

const EXAMPLES: &str = "\
Examples:
  bondify resend dlv_1
  bondify resend dlv_1 --to http://127.0.0.1:4000/ --body changed.json
  bondify resend --failed";

/// Resend deliveries of `bondify emulate`, and wait for the outcome
///
/// Sends the same bytes with the same signature to the project's webhook URL. Succeeds only if each
/// delivery is answered with 2xx in the end.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("what").required(true))]
pub(crate) struct Args {
    /// The delivery's id, e.g. dlv_1
    #[arg(group = "what", value_parser = delivery_id)]
    id: Option<DeliveryId>,

    /// All deliveries that failed for good and were not resent
    #[arg(long, group = "what")]
    failed: bool,

    /// With --failed: only the deliveries of this project
    #[arg(long, value_name = "ID", requires = "failed", value_parser = values::text)]
    project: Option<String>,

    /// Another URL to deliver to
    #[arg(long, value_name = "URL", requires = "id", value_parser = values::url)]
    to: Option<Url>,

    /// File with another body, which is signed anew; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "id")]
    body: Option<PathBuf>,

    #[command(flatten)]
    emulator: EmulatorArgs,
}

fn delivery_id(text: &str) -> Result<DeliveryId, &'static str> {
    text.parse().map_err(|_| "write it like dlv_1")
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let mut all_delivered = true;
        for resent in self.resend().await? {
            let finished = select! {
                () = interrupts.next() => return Ok(Exit::Interrupted),
                finished = self.finished(resent) => finished?,
            };
            all_delivered &= finished.state == DeliveryState::Delivered;
            output.show(&Shown(&finished))?;
        }
        Ok(all_delivered.into())
    }

    async fn resend(&self) -> anyhow::Result<Vec<Delivery>> {
        let Some(id) = self.id else {
            let query: Vec<_> = self.project.iter().map(|id| ("project_id", &**id)).collect();
            let path = ["deliveries", "resend-failed"];
            let resent: Deliveries = self.emulator.call(Method::POST, &path, &query, None).await?;
            return Ok(resent.deliveries);
        };
        let mut changes = Map::new();
        if let Some(url) = &self.to {
            changes.insert("url".into(), url.as_str().into());
        }
        if let Some(path) = &self.body {
            let body = String::from_utf8(body::read(path)?).context("the body is not UTF-8")?;
            changes.insert("body".into(), body.into());
        }
        let path = ["deliveries", &id.to_string(), "resend"];
        let changes = Some(Value::Object(changes));
        Ok(vec![self.emulator.call(Method::POST, &path, &[], changes).await?])
    }

    /// Asks until the delivery has succeeded or failed for good.
    async fn finished(&self, mut delivery: Delivery) -> anyhow::Result<Delivery> {
        const PAUSE: Duration = Duration::from_millis(100);
        while !delivery.is_finished() {
            sleep(PAUSE).await;
            let path = ["deliveries", &delivery.id.to_string()];
            delivery = self.emulator.call(Method::GET, &path, &[], None).await?;
        }
        Ok(delivery)
    }
}
