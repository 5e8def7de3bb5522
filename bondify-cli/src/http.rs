//! Sends deliveries over HTTP.

use std::{
    error::Error,
    fmt::{self, Display},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use bondify_emulator::local::is_this_machine;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, future::ready, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{
    Body, Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, header::DATE,
    redirect::Policy,
};
use serde_json::Value;

use crate::tls::TlsArgs;

/// The endpoint that deliveries are sent to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    /// An endpoint whose answers, body included, arrive within `timeout`.
    pub(crate) fn new(url: Url, timeout: Duration, tls: &TlsArgs) -> anyhow::Result<Self> {
        let client = client(&url, tls)?.timeout(timeout);
        let client = client.user_agent(concat!("bondify-cli/", env!("CARGO_PKG_VERSION")));
        Ok(Self { client: client.build()?, url })
    }

    /// An endpoint that is the upstream of a proxy: `timeout` is for the head of an answer and for
    /// each part of its body. A connection is used once, because a connection that was kept may be
    /// closed by the time a request is sent.
    pub(crate) fn upstream(url: Url, timeout: Duration, tls: &TlsArgs) -> anyhow::Result<Self> {
        let client = client(&url, tls)?.read_timeout(timeout).connect_timeout(timeout);
        let client = client.http1_only().pool_max_idle_per_host(0);
        Ok(Self { client: client.build()?, url })
    }

    pub(crate) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }
}

/// Sets up a client that follows no redirects, like Bondify. It uses the proxy that the environment
/// names, but not for this machine.
fn client(url: &Url, tls: &TlsArgs) -> anyhow::Result<ClientBuilder> {
    let mut client = tls.apply(Client::builder().redirect(Policy::none()), url)?;
    if is_this_machine(url) {
        client = client.no_proxy();
        // A resolver may not know the names that end in `.localhost`.
        let loopback: [SocketAddr; 2] =
            [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
        if let Some(name) = url.domain() {
            client = client.resolve_to_addrs(name, &loopback);
        }
    }
    Ok(client)
}

/// The answer of an endpoint.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The first 64 KiB of the body.
    pub(crate) body: Bytes,
    /// The time from the request to the head of the answer.
    pub(crate) latency: Duration,
    /// The server's time.
    pub(crate) date: Option<SystemTime>,
}

impl Answer {
    /// The machine code of a refusal.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("code")
    }

    /// Whether the endpoint says that it knew the event before.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.field("status").is_some_and(|status| status == "duplicate")
    }

    fn field(&self, name: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }
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
        let reason = cause.to_string();
        let hint =
            if reason.contains("certificate") { "; see --ca-file and --insecure" } else { "" };
        Self::Failed(format!("{reason}{hint}"))
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, NoAnswer> {
    let start = Instant::now();
    let mut response = request.send().await?;
    let latency = start.elapsed();
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let body = read_body(&mut response).await;
    Ok(Answer { status: response.status(), body, latency, date })
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
