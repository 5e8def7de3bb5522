use anyhow::anyhow;
use bondify_client::{Client, Error};
use clap::Args;

use crate::output::Printable;

/// The options for Bondify's API.
#[derive(Args)]
pub(crate) struct ApiArgs {
    /// Base URL of the API, such as that of `bondify emulate`
    #[arg(long, global = true, value_name = "URL", default_value = Client::DEFAULT_BASE_URL)]
    #[arg(env = "BONDIFY_API_URL", hide_env_values = true)]
    api_url: String,
}

impl ApiArgs {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::builder().base_url(&self.api_url).build()?)
    }
}

/// Adds the API's error text to an error.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    match error.message() {
        Some(message) => anyhow!("{error}: {}", Printable(message)),
        None => error.into(),
    }
}
