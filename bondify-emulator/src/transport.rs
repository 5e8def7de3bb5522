use std::{
    error::Error,
    fmt::{self, Write},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bondify_core::SIGNATURE_HEADER;
use reqwest::{
    Client, Request, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use url::{Position, Url};

use crate::{
    Outcome,
    local::is_local,
    project::ip,
    state::{AttemptFault, OutgoingRequest},
    trust::{Clients, Trust},
};

/// Sends deliveries to webhook URLs.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Makes one attempt. Returns the request's headers and the outcome.
    fn send(&self, outgoing: OutgoingRequest) -> impl Future<Output = (Headers, Outcome)> + Send;
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

    fn request(&self, outgoing: &OutgoingRequest) -> reqwest::Result<Request> {
        self.clients
            .of(&outgoing.url)
            .post(outgoing.url.clone())
            .header("host", host(&outgoing.url))
            .header("user-agent", concat!("bondify-emulator/", env!("CARGO_PKG_VERSION")))
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .header(SIGNATURE_HEADER, &outgoing.signature)
            .header("content-length", outgoing.body.len())
            .body(outgoing.body.clone())
            .build()
    }

    async fn exchange(&self, request: Request) -> Outcome {
        if ip(request.url()).is_some_and(|ip| !self.resolver.allows(ip)) {
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

    /// Sends the head and half of the body, and closes the connection.
    async fn send_half(&self, request: &Request, body: &str) -> Result<(), io::Error> {
        let url = request.url();
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let addresses = self.resolver.lookup(host.trim_matches(['[', ']']), port).await?;
        let mut connection = TcpStream::connect(&*addresses).await?;
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let mut head = format!("POST {path} HTTP/1.1\r\n");
        for (name, value) in to_text(request.headers()) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&body.as_bytes()[..body.len() / 2]).await?;
        connection.shutdown().await
    }
}

impl Transport for Network {
    async fn send(&self, outgoing: OutgoingRequest) -> (Headers, Outcome) {
        let request = match self.request(&outgoing) {
            Ok(request) => request,
            Err(error) => return (Vec::new(), failure(&error)),
        };
        let headers = to_text(request.headers());
        let outcome = match outgoing.fault {
            None => self.exchange(request).await,
            Some(AttemptFault::Unreachable) => Outcome::Unreachable,
            Some(AttemptFault::DropConnection) => {
                match timeout(self.timeout, self.send_half(&request, &outgoing.body)).await {
                    Ok(Ok(())) => Outcome::Dropped,
                    Ok(Err(error)) => failure(&error),
                    Err(_) => Outcome::TimedOut,
                }
            }
        };
        (headers, outcome)
    }
}

/// Resolves names. Refuses the addresses of other machines unless they are allowed.
#[derive(Clone, Copy)]
pub(crate) struct Resolver {
    pub(crate) remote: bool,
}

impl Resolver {
    /// Whether deliveries to this URL are blocked now. A name that cannot be resolved is not.
    pub(crate) async fn blocks(self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let found = self.lookup(host.trim_matches(['[', ']']), 0).await;
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

#[derive(Debug)]
struct NotLoopback;

impl fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a loopback address")
    }
}

impl Error for NotLoopback {}

/// Converts an error to an outcome, with the text of its root cause.
fn failure(error: &(dyn Error + 'static)) -> Outcome {
    let mut cause = error;
    loop {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn Error + 'static));
        match inner.or_else(|| cause.source()) {
            Some(deeper) => cause = deeper,
            None if cause.is::<NotLoopback>() => return Outcome::NotLoopback,
            None => return Outcome::Disconnected { reason: cause.to_string() },
        }
    }
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
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
