use anyhow::{Context as _, bail};
use bondify_emulator::local::is_this_machine;
use clap::Args;
use reqwest::{Client, Method, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{output::Printable, values};

/// The option for the control API of `bondify emulate`.
#[derive(Args)]
pub(crate) struct EmulatorArgs {
    /// URL of `bondify emulate`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4680")]
    #[arg(env = "BONDIFY_API_URL", hide_env_values = true, value_parser = values::url)]
    api_url: Url,
}

impl EmulatorArgs {
    /// Calls the control API. Segments of `path` are appended to `/emulator`.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let mut url = self.api_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("emulator").extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        let mut client = Client::builder();
        if is_this_machine(&url) {
            client = client.no_proxy();
        }
        let request = client.build()?.request(method, url);
        let request = request.body(body.map(|body| body.to_string()).unwrap_or_default());
        let answer = request.send().await;
        let answer = answer.with_context(|| format!("no emulator at {}", self.api_url))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .with_context(|| format!("{} is not `bondify emulate`", self.api_url));
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { error }) => bail!("the emulator refused: {}", Printable(&error)),
            Err(_) => bail!("{} is not `bondify emulate`: {status}", self.api_url),
        }
    }
}
