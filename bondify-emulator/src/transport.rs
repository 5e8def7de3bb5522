use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use bondify_core::SIGNATURE_HEADER;
use futures_util::{StreamExt, stream};
use reqwest::{
    Body, Client, Request, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use tokio::{
    net::lookup_host,
    task::yield_now,
    time::{Instant, timeout_at},
};
use url::{Position, Url};

use crate::{
    Delivery, Fault, Outcome,
    local::is_local,
    trust::{Clients, Trust},
};

/// Sends deliveries to webhook URLs.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Makes one attempt. Returns the request's headers and the outcome.
    fn send(
        &self,
        delivery: &Delivery,
        fault: Option<Fault>,
    ) -> impl Future<Output = (Headers, Outcome)> + Send;
}

/// Names and values of headers.
type Headers = Vec<(String, String)>;

/// The network: one connection for each attempt, no redirects, no proxy.
pub(crate) struct Network {
    clients: Clients,
    resolver: Resolver,
    timeout: Duration,
}

impl Network {
    /// The maximum size of a recorded response body.
    const MAX_BODY_BYTES: usize = 64 * 1024;

    pub(crate) fn new(timeout: Duration, remote: bool, trust: Trust) -> reqwest::Result<Self> {
        let resolver = Resolver { remote };
        let clients = Clients::new(trust, || {
            Client::builder()
                .dns_resolver(Arc::new(resolver))
                .redirect(Policy::none())
                .no_proxy()
                .http1_only()
                .pool_max_idle_per_host(0)
        })?;
        Ok(Self { clients, resolver, timeout })
    }

    fn request(&self, delivery: &Delivery, body: Body) -> reqwest::Result<Request> {
        let url = &delivery.url;
        self.clients
            .of(url)
            .post(url.clone())
            .header("host", &url[Position::BeforeHost..Position::AfterPort])
            .header("user-agent", concat!("bondify-emulator/", env!("CARGO_PKG_VERSION")))
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .header(SIGNATURE_HEADER, &delivery.signature)
            .header("content-length", delivery.body.len())
            .body(body)
            .build()
    }

    async fn exchange(&self, request: Request) -> Outcome {
        if host(request.url()).parse().is_ok_and(|ip| !self.resolver.allows(ip)) {
            return Outcome::NotLoopback;
        }
        let deadline = Instant::now() + self.timeout;
        let client = self.clients.of(request.url());
        match timeout_at(deadline, client.execute(request)).await {
            Ok(Ok(mut response)) => Outcome::Answered {
                status: response.status().as_u16(),
                response_headers: to_text(response.headers()),
                response_body: read(&mut response, deadline).await,
            },
            Ok(Err(error)) => failure(&error),
            Err(_) => Outcome::TimedOut,
        }
    }
}

impl Transport for Network {
    async fn send(&self, delivery: &Delivery, fault: Option<Fault>) -> (Headers, Outcome) {
        let body = match fault {
            Some(Fault::DropConnection) => half(&delivery.body),
            _ => delivery.body.clone().into(),
        };
        let request = match self.request(delivery, body) {
            Ok(request) => request,
            Err(error) => return (Vec::new(), failure(&error)),
        };
        let headers = to_text(request.headers());
        let outcome = match fault {
            Some(Fault::Unreachable) => Outcome::Unreachable,
            _ => self.exchange(request).await,
        };
        (headers, outcome)
    }
}

/// The first half of a body, after which the connection is cut.
fn half(body: &str) -> Body {
    let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
    let cut = async {
        // What was written before is sent first.
        yield_now().await;
        Err(Cut)
    };
    let parts = stream::iter([Ok(half)]).chain(stream::once(cut));
    Body::wrap_stream(parts)
}

/// Resolves names. Refuses the addresses of other machines unless they are allowed.
#[derive(Clone, Copy)]
pub(crate) struct Resolver {
    pub(crate) remote: bool,
}

impl Resolver {
    /// Whether deliveries to this URL are blocked now. A name that cannot be resolved is not.
    pub(crate) async fn blocks(self, url: &Url) -> bool {
        let found = self.lookup(host(url), 0).await;
        found.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    fn allows(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.remote || ip.is_loopback() || ip.is_unspecified()
    }

    async fn lookup(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        // A resolver may not know the names that end in `.localhost`.
        let host =
            if is_local(host) && host.parse::<IpAddr>().is_err() { "localhost" } else { host };
        let found: Vec<_> = lookup_host((host, port)).await?.collect();
        let (allowed, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.allows(address.ip()));
        if allowed.is_empty() && !refused.is_empty() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotLoopback));
        }
        Ok(allowed)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = *self;
        Box::pin(async move {
            let addresses = resolver.lookup(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not a loopback address")]
struct NotLoopback;

/// The end of a body that is cut on purpose.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

/// Converts an error to an outcome, with the text of its root cause.
fn failure(error: &(dyn Error + 'static)) -> Outcome {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn Error + 'static));
    match inner.or_else(|| error.source()) {
        Some(cause) => failure(cause),
        None if error.is::<NotLoopback>() => Outcome::NotLoopback,
        None if error.is::<Cut>() => Outcome::Dropped,
        None => Outcome::Disconnected { reason: error.to_string() },
    }
}

/// The host of the URL, without the brackets of an IPv6 address.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

fn to_text(headers: &HeaderMap) -> Headers {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// Reads the body until the deadline or the maximum size.
async fn read(response: &mut Response, deadline: Instant) -> String {
    let mut body = Vec::new();
    while body.len() < Network::MAX_BODY_BYTES {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    body.truncate(Network::MAX_BODY_BYTES);
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A numeric address is resolved like a name, and needs no DNS.
    #[tokio::test]
    async fn a_name_of_another_machine_is_refused() {
        let local = Resolver { remote: false };
        for host in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            let refused = local.lookup(host, 443).await.unwrap_err();
            assert_eq!(failure(&refused), Outcome::NotLoopback, "{host}");
            assert_eq!(Resolver { remote: true }.lookup(host, 443).await.unwrap().len(), 1);
        }
        for host in
            ["localhost", "app.localhost", "127.3.2.1", "0.0.0.0", "::1", "::ffff:127.0.0.1"]
        {
            assert!(!local.lookup(host, 443).await.unwrap().is_empty(), "{host}");
        }
    }

    #[test]
    fn a_failure_has_the_text_of_its_cause() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "nobody is there");
        let wrapped = io::Error::other(refused);
        let reason = "nobody is there".to_owned();
        assert_eq!(failure(&wrapped), Outcome::Disconnected { reason });
    }
}
