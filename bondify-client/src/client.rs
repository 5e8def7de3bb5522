use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Url, header::HeaderValue, redirect};

use crate::{Developer, Error, Sessions, wire};

/// Where Bondify's API is and how it is called: the connections that [`Sessions`] and
/// [`Developer`] share.
///
/// Clones share the connections too. It follows no redirects, and reads no more than
/// [`ANSWER_LIMIT`](Self::ANSWER_LIMIT) of an answer. Proxies that the environment names, such
/// as by `HTTPS_PROXY`, are used, though not for loopback.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    pub(crate) poll_interval: Duration,
}

impl Client {
    /// The base URL unless [`base_url`](ClientBuilder::base_url) sets another.
    pub const BASE_URL: &str = "https://api.bondify.dev";

    /// How large an answer may be: 8 MiB. A session's status is below 4 KiB; this has room
    /// for a list of some 20,000 sessions.
    pub const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

    /// A client of `https://api.bondify.dev` with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    ///
    /// Those of [`ClientBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A client that is set up differently.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            base_url: Self::BASE_URL.to_owned(),
            connect_timeout: ClientBuilder::CONNECT_TIMEOUT,
            timeout: ClientBuilder::TIMEOUT,
            poll_interval: ClientBuilder::POLL_INTERVAL,
        }
    }

    /// Login sessions of a project, whose public access has to be enabled.
    #[must_use]
    pub fn sessions(&self, project_id: impl Into<String>) -> Sessions {
        Sessions { client: self.clone(), project_id: project_id.into().into() }
    }

    /// The developer API, for the holder of a developer token.
    ///
    /// # Errors
    ///
    /// If the token is empty or holds anything but visible ASCII, such as the line end that
    /// came along from a file.
    pub fn developer(&self, token: impl AsRef<str>) -> Result<Developer, Error> {
        let token = token.as_ref();
        let refused = || Error::setting("the developer token must be visible ASCII, no spaces");
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused());
        }
        let authorization = HeaderValue::try_from(format!("Bearer {token}"));
        let mut authorization = authorization.map_err(|_| refused())?;
        authorization.set_sensitive(true);
        Ok(Developer { client: self.clone(), authorization })
    }

    /// A request of what is at `path` below `/api/v1/`.
    pub(crate) fn request(&self, method: Method, path: fmt::Arguments<'_>) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.base))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base).finish_non_exhaustive()
    }
}

/// Sets up a [`Client`]; made by [`Client::builder`].
#[derive(Clone)]
#[must_use = "nothing is called until it is built"]
pub struct ClientBuilder {
    base_url: String,
    connect_timeout: Duration,
    timeout: Duration,
    poll_interval: Duration,
}

impl ClientBuilder {
    /// How long connecting may take unless [`connect_timeout`](Self::connect_timeout) says
    /// otherwise: 5 s.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// How long a call may take unless [`timeout`](Self::timeout) says otherwise: 10 s.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// How often a session is polled unless [`poll_interval`](Self::poll_interval) says
    /// otherwise: every 2 s, as Bondify's documentation asks.
    pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

    /// The shortest interval to poll at: 500 ms.
    pub const LEAST_POLL_INTERVAL: Duration = Duration::from_millis(500);

    /// Calls the API at another URL, `https://…` or, for an emulator, `http://…`, by which
    /// tokens travel in the clear. `/api/v1/…` is appended to its path; whether that ends in a
    /// slash does not matter.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// How long connecting may take, TLS included.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take in all, from connecting to the last byte of its answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long [`Sessions::wait`] pauses between an answer and the next request. At least
    /// [`LEAST_POLL_INTERVAL`](Self::LEAST_POLL_INTERVAL).
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// If the base URL is not `http://` or `https://` and a host, or carries a user, a query
    /// or a fragment; if the interval is too short; and if TLS cannot be set up, as on a
    /// machine without CA certificates.
    pub fn build(self) -> Result<Client, Error> {
        if self.poll_interval < Self::LEAST_POLL_INTERVAL {
            return Err(Error::setting("the interval to poll at must be 500 ms or more"));
        }
        let base = base(&self.base_url)?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("bondify-client/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout);
        if wire::is_loopback(&base) {
            http = http.no_proxy(); // which could not reach it
        }
        Ok(Client {
            http: http.build().map_err(Error::set_up)?,
            base: base.as_str().trim_end_matches('/').into(),
            poll_interval: self.poll_interval,
        })
    }
}

// A base URL may carry a password until it is checked.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

/// What all paths are appended to.
fn base(url: &str) -> Result<Url, Error> {
    let url = Url::parse(url).map_err(|error| Error::unreadable_url(BASE_URL, error))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(Error::setting(BASE_URL)) }
}

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
    fn nobody_polls_more_often_than_every_half_second() {
        let interval = |millis| Client::builder().poll_interval(Duration::from_millis(millis));
        assert!(interval(499).build().unwrap_err().to_string().contains("500 ms"));
        assert!(interval(500).build().is_ok());
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_and_never_shown() {
        let client = Client::new().unwrap();
        for token in ["", "hush\n", " hush", "hu sh", "hush\0", "hüsh"] {
            let error = client.developer(token).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sh\n"), "{error:?}");
            assert!(error.to_string().contains("developer token"));
        }
        let developer = client.developer("hush").unwrap();
        assert!(!format!("{developer:?}").contains("hush"));
    }
}
