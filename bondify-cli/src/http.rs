//! Sends deliveries over HTTP.

use std::{
    error::Error,
    fmt::{self, Display},
    io,
    time::{Duration, Instant},
};

use bondify_client::is_loopback;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, future::ready, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{
    Body, Client, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};

/// The endpoint that deliveries are sent to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    /// Follows no redirects, like Bondify. Uses the proxy that the environment names, but not
    /// for loopback URLs.
    pub(crate) fn new(url: Url, timeout: Duration) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("bondify-cli/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .redirect(Policy::none());
        let client = if is_loopback(&url) { client.no_proxy() } else { client };
        Ok(Self { client: client.build()?, url })
    }

    pub(crate) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }
}

/// Parses an `http` or `https` URL, for clap.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("not an http:// or https:// URL".into()),
    }
}

/// The answer of an endpoint.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    /// The first 64 KiB of the body.
    pub(crate) body: Bytes,
    /// The time from the request to the head of the answer.
    pub(crate) latency: Duration,
}

/// The reason why an endpoint did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    TimedOut,
    Failed(String),
}

impl Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let mut cause: &dyn Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Failed(cause.to_string())
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, NoAnswer> {
    let start = Instant::now();
    let mut response = request.send().await?;
    let latency = start.elapsed();
    let body = read_body(&mut response).await;
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    Ok(Answer { status: response.status(), content_type, body, latency })
}

/// Reads the body. An incomplete body is no error, because the status is the answer.
async fn read_body(response: &mut Response) -> Bytes {
    const MAX_BODY_BYTES: usize = 64 * 1024;
    let mut body = BytesMut::new();
    while body.len() < MAX_BODY_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_BODY_BYTES);
    body.freeze()
}

/// A body that sends its first half and then cuts the connection.
pub(crate) fn half_of(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let cut = async {
        // The client writes the first half before it polls the error.
        tokio::task::yield_now().await;
        Err(io::Error::other("cut off half-way through the request"))
    };
    let frames = stream::once(ready(Ok(Frame::data(half)))).chain(stream::once(cut));
    Body::wrap(StreamBody::new(frames))
}
