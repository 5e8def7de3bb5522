use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Url, redirect};

use crate::{Error, loopback::is_loopback};

/// An HTTP client for Bondify's API: the base URL and the connections that
/// [`Sessions`](crate::Sessions) and [`Developer`](crate::Developer) share.
///
/// Clones share the connections too. The client follows no redirects and keeps at most
/// [`MAX_RESPONSE_BYTES`](Self::MAX_RESPONSE_BYTES) of a response in memory. It uses the proxies that
/// the environment names, such as in `HTTPS_PROXY`, but not for loopback URLs. TLS is rustls with the
/// crypto provider that the process has installed, or that of the crate's features, and the
/// certificates that the system trusts. [`ClientBuilder::http`] replaces all of this.
///
/// ```no_run
/// use bondify_client::Client;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new()?;
/// let session = client.sessions("proj_abc123").generate().await?;
/// println!("open {}", session.deeplink());
///
/// let developer = client.developer(std::env::var("BONDIFY_DEVELOPER_TOKEN")?)?;
/// println!("{} projects", developer.projects().await?.records.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    pub(crate) poll_interval: Duration,
}

impl Client {
    /// The default [`base_url`](ClientBuilder::base_url).
    pub const DEFAULT_BASE_URL: &str = "https://api.bondify.dev";

    /// The maximum size of a response, and of a single record of a list: 8 MiB. A session's status is below
    /// 4 KiB. A list may be longer, because it is read while it arrives.
    pub const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

    /// Creates a client of `https://api.bondify.dev` with the defaults of [`ClientBuilder`].
    ///
    /// ```no_run
    /// use bondify_client::Client;
    ///
    /// let sessions = Client::new()?.sessions("proj_abc123");
    /// # let _ = sessions;
    /// # Ok::<(), bondify_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`ClientBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Returns a builder with all settings at their defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            http: None,
            base_url: Self::DEFAULT_BASE_URL.to_owned(),
            connect_timeout: ClientBuilder::DEFAULT_CONNECT_TIMEOUT,
            timeout: ClientBuilder::DEFAULT_TIMEOUT,
            poll_interval: ClientBuilder::DEFAULT_POLL_INTERVAL,
        }
    }

    /// Starts a request to `path` below `/api/v1/`.
    pub(crate) fn request(&self, method: Method, path: fmt::Arguments<'_>) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.base))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base).finish_non_exhaustive()
    }
}

/// The settings of a [`Client`]. Created by [`Client::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use bondify_client::Client;
///
/// // For example an emulator.
/// let client = Client::builder()
///     .base_url("http://127.0.0.1:4000")
///     .connect_timeout(Duration::from_secs(1))
///     .timeout(Duration::from_secs(5))
///     .poll_interval(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), bondify_client::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder {
    http: Option<reqwest::Client>,
    base_url: String,
    connect_timeout: Duration,
    timeout: Duration,
    poll_interval: Duration,
}

impl ClientBuilder {
    /// The default [`connect_timeout`](Self::connect_timeout): 5 s.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The default [`timeout`](Self::timeout): 10 s.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The default [`poll_interval`](Self::poll_interval): 2 s, as Bondify's documentation
    /// asks.
    pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(2);

    /// The minimum [`poll_interval`](Self::poll_interval): 500 ms.
    pub const MIN_POLL_INTERVAL: Duration = Duration::from_millis(500);

    /// Sets the base URL of the API: `https://…` or, for an emulator, `http://…`, which sends
    /// tokens unencrypted. `/api/v1/…` is appended to its path, with or without a slash at
    /// the end.
    ///
    /// ```
    /// use bondify_client::Client;
    ///
    /// let local = Client::builder().base_url("http://127.0.0.1:4680").build()?; // `bondify emulate`
    /// assert!(Client::builder().base_url("127.0.0.1:4680").build().is_err()); // no scheme
    /// # Ok::<(), bondify_client::Error>(())
    /// ```
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Sends requests with this client, which decides about proxies, TLS, connections, redirects and
    /// time-outs: [`connect_timeout`](Self::connect_timeout) and [`timeout`](Self::timeout) have no effect.
    /// Give it a time-out, and let it follow no redirects: requests carry tokens.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::Client;
    /// use reqwest::redirect;
    ///
    /// let http = reqwest::Client::builder()
    ///     .redirect(redirect::Policy::none())
    ///     .timeout(Duration::from_secs(10))
    ///     .build()?;
    /// let client = Client::builder().http(http).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn http(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Sets the time-out for connecting, TLS included.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time-out of a call, from connecting to the last byte of its response. For a list it is the
    /// time-out of each part that arrives.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::Client;
    ///
    /// // A page waits for this call: rather show an error soon.
    /// let client = Client::builder().timeout(Duration::from_secs(3)).build()?;
    /// # Ok::<(), bondify_client::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the pause of [`Sessions::wait`](crate::Sessions::wait) between a response and the
    /// next request. At least [`MIN_POLL_INTERVAL`](Self::MIN_POLL_INTERVAL).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::Client;
    ///
    /// let builder = Client::builder().poll_interval(Duration::from_millis(100));
    /// assert!(builder.build().is_err()); // below the minimum
    /// ```
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`Error`] if the base URL is not `http://` or `https://` and a host, or has a user, a query or
    /// a fragment; if the poll interval is shorter than
    /// [`MIN_POLL_INTERVAL`](Self::MIN_POLL_INTERVAL); if TLS cannot be set up, for example on a
    /// machine without CA certificates; and if the base URL is `https://` and the crate has neither a TLS
    /// feature nor a client by [`http`](Self::http).
    pub fn build(self) -> Result<Client, Error> {
        if self.poll_interval < Self::MIN_POLL_INTERVAL {
            return Err(Error::setting("the poll interval must be at least 500 ms"));
        }
        let base = base(&self.base_url)?;
        let http = match &self.http {
            Some(http) => http.clone(),
            None if base.scheme() == "https" && !HAS_TLS => return Err(Error::setting(NO_TLS)),
            None => self.own_http(is_loopback(&base))?,
        };
        Ok(Client {
            http,
            base: base.as_str().trim_end_matches('/').into(),
            poll_interval: self.poll_interval,
        })
    }

    fn own_http(&self, is_loopback: bool) -> Result<reqwest::Client, Error> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("bondify-client/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.timeout)
            .timeout(self.timeout);
        if is_loopback {
            http = http.no_proxy(); // A proxy cannot reach this machine's loopback.
        }
        #[cfg(feature = "tls-ring")]
        {
            http = http.tls_backend_preconfigured(tls().map_err(Error::set_up)?);
        }
        http.build().map_err(Error::set_up)
    }
}

/// TLS with the crypto provider that the process has installed, or with ring.
#[cfg(feature = "tls-ring")]
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls::crypto::{CryptoProvider, ring};
    use rustls_platform_verifier::BuilderVerifierExt;

    let installed = CryptoProvider::get_default().cloned();
    let provider = installed.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    Ok(tls.with_safe_default_protocol_versions()?.with_platform_verifier()?.with_no_client_auth())
}

// An unchecked base URL may contain a password.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

/// Parses the base URL that all paths are appended to.
fn base(url: &str) -> Result<Url, Error> {
    let url = Url::parse(url).map_err(|error| Error::unreadable_url(BASE_URL, error))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(Error::setting(BASE_URL)) }
}

const HAS_TLS: bool = cfg!(any(feature = "tls-aws-lc", feature = "tls-ring"));

const NO_TLS: &str =
    "https:// needs the feature tls-aws-lc or tls-ring of bondify-client, or ClientBuilder::http";

const BASE_URL: &str =
    "the base URL must be http:// or https:// and a host, without user, query or fragment";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path_and_end_in_slashes() {
        for (url, expected) in [
            ("https://api.bondify.dev", "https://api.bondify.dev"),
            ("https://api.bondify.dev/", "https://api.bondify.dev"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
            ("http://[::1]:4000/bondify//", "http://[::1]:4000/bondify"),
        ] {
            let client = Client::builder().base_url(url).build().unwrap();
            assert_eq!(&*client.base, expected);
        }
    }

    #[test]
    fn any_other_base_url_is_refused_and_not_shown() {
        for url in [
            "",
            "api.bondify.dev",
            "localhost:4000",
            "//api.bondify.dev",
            "ftp://hush.example",
            "file:///hush",
            "https://",
            "https://user:hush@api.bondify.dev",
            "https://hush@api.bondify.dev",
            "https://api.bondify.dev?hush",
            "https://api.bondify.dev#hush",
            "https://hush:99999",
        ] {
            let error = base(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("base URL must be") && !shown.contains("hush"), "{shown}");
        }
    }

    #[test]
    fn a_poll_interval_below_half_a_second_is_refused() {
        let interval = |millis| Client::builder().poll_interval(Duration::from_millis(millis));
        assert!(interval(499).build().unwrap_err().to_string().contains("500 ms"));
        assert!(interval(500).build().is_ok());
    }
}
