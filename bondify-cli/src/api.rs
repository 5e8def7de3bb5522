use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bondify_client::{Client, Developer, Error, List};
use clap::Args;
use reqwest::Url;
use tokio::time::sleep;

use crate::{
    output::{Printable, warn},
    secret::TokenArgs,
};

/// The options for Bondify's API.
#[derive(Args)]
pub(crate) struct ApiArgs {
    /// Base URL of the API, such as that of `bondify emulate`
    #[arg(long, global = true, value_name = "URL", default_value = Client::DEFAULT_BASE_URL)]
    #[arg(env = "BONDIFY_API_URL", hide_env_values = true)]
    api_url: String,
}

impl ApiArgs {
    /// The base URL with a slash at its end.
    pub(crate) fn url(&self) -> anyhow::Result<Url> {
        let url = format!("{}/", self.api_url.trim_end_matches('/'));
        Url::parse(&url)
            .context("the base URL of the API is not a URL: write e.g. http://127.0.0.1:4680")
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::builder().base_url(&self.api_url).build()?)
    }
}

/// The options for the developer API.
#[derive(Args)]
pub(crate) struct DeveloperArgs {
    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    token: TokenArgs,
}

impl DeveloperArgs {
    pub(crate) fn developer(&self) -> anyhow::Result<Developer> {
        Ok(self.api.client()?.developer(&*self.token.token()?)?)
    }
}

/// Adds the API's error text to an error.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    match error.message() {
        Some(message) => anyhow!("{error}: {}", Printable(message)),
        None => error.into(),
    }
}

/// Whether a list is complete. Warns if it is not.
pub(crate) fn is_complete<T>(list: &List<T>, records: &str) -> bool {
    if let Some(problem) = &list.problem {
        let count = list.unreadable;
        warn(format_args!("{records} that could not be read: {count}; the first: {problem}"));
    }
    if list.has_more {
        warn(format_args!("the API has more {records} than it listed"));
    }
    list.unreadable == 0 && !list.has_more
}

/// The number of times that a refused call is repeated.
const RETRIES: u32 = 5;

/// The maximum pause before a retry.
const MAX_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Repeats a call that the API refuses for now, as with 429 or 503: after the pause that the API asks for,
/// or else after 1, 2, 4, 8 and 16 s.
pub(crate) async fn retried<T>(call: impl AsyncFn() -> Result<T, Error>) -> anyhow::Result<T> {
    for retry in 1..=RETRIES {
        let error = match call().await {
            Err(error) if error.status().is_some() && error.is_transient() => error,
            result => return result.map_err(explained),
        };
        let pause = error.retry_after().unwrap_or(Duration::from_secs(1 << (retry - 1)));
        if pause > MAX_PAUSE {
            return Err(explained(error));
        }
        let error = explained(error);
        warn(format_args!("{error}; retry {retry} of {RETRIES} in {} s", pause.as_secs()));
        sleep(pause).await;
    }
    call().await.map_err(explained)
}
