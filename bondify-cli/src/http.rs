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
use clap::Args;
use futures_util::{StreamExt as _, future::ready, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{
    Body, Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, HeaderMap},
    redirect::Policy,
};
use serde_json::Value;

use crate::{tls::TlsArgs, values};

/// The options for an endpoint.
#[derive(Args)]
pub(crate) struct EndpointArgs {
    /// The time-out for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    #[arg(help_heading = None::<&'static str>)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    tls: TlsArgs,
}

impl EndpointArgs {
    /// An endpoint whose answers, body included, arrive within the time-out.
    pub(crate) fn endpoint(&self, url: Url) -> anyhow::Result<Endpoint> {
        let client = client(&url, &self.tls)?.timeout(self.timeout);
        let client = client.user_agent(concat!("bondify-cli/", env!("CARGO_PKG_VERSION")));
        Ok(Endpoint { client: client.build()?, url })
    }

    /// An endpoint that is the upstream of a proxy: the time-out is for the head of an answer and for each
    /// part of its body. A connection is used once, because a connection that was kept may be closed by the
    /// time a request is sent.
    pub(crate) fn upstream(&self, url: Url) -> anyhow::Result<Endpoint> {
        let client = client(&url, &self.tls)?.read_timeout(self.timeout);
        let client = client.connect_timeout(self.timeout).http1_only().pool_max_idle_per_host(0);
        Ok(Endpoint { client: client.build()?, url })
    }
}

/// The endpoint that deliveries are sent to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// A request to another URL of the same server.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
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
    pub(crate) headers: HeaderMap,
    /// The first part of the body: all of a delivery's answer that is of interest.
    pub(crate) body: Bytes,
    /// The time from the request to the head of the answer.
    pub(crate) latency: Duration,
}

impl Answer {
    /// The server's time.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }

    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The machine code of a refusal.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("code")
    }

    /// Whether the endpoint says that it knew the event before.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.field("status").is_some_and(|status| status == "duplicate")
    }

    fn field(&self, name: &str) -> Option<String> {
        self.json()?.get(name)?.as_str().map(str::to_owned)
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
        Self::Failed(in_words(&cause.to_string()))
    }
}

/// Puts an error of the libraries for TLS and HTTP into plain words.
fn in_words(reason: &str) -> String {
    const SEE: &str = "see --ca-file and --insecure";
    if reason.contains("InvalidContentType") {
        "the port does not speak TLS; try http://".to_owned()
    } else if reason.contains("invalid HTTP version") {
        "the port does not speak HTTP; with TLS, the URL begins with https://".to_owned()
    } else if ["UnknownIssuer", "BadSignature", "CaUsedAsEndEntity"]
        .iter()
        .any(|error| reason.contains(error))
    {
        format!("the issuer of its certificate is not trusted; {SEE}")
    } else if reason.contains("certificate") {
        format!("{reason}; {SEE}")
    } else {
        reason.to_owned()
    }
}

/// Sends a request, and reads the first 64 KiB of the answer's body.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, NoAnswer> {
    send_and_read(request, 64 * 1024).await
}

/// Sends a request, and reads the first `max_body_bytes` of the answer's body.
pub(crate) async fn send_and_read(
    request: RequestBuilder,
    max_body_bytes: usize,
) -> Result<Answer, NoAnswer> {
    let start = Instant::now();
    let mut response = request.send().await?;
    let latency = start.elapsed();
    let body = read_body(&mut response, max_body_bytes).await;
    let headers = std::mem::take(response.headers_mut());
    Ok(Answer { status: response.status(), headers, body, latency })
}

/// Reads the body. An incomplete body is no error, because the status is the answer.
async fn read_body(response: &mut Response, max_bytes: usize) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < max_bytes
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(max_bytes);
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
