use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bondify_client::{Sessions, is_loopback};
use bondify_core::{Bondify, Wakeups};
use url::Url;

use crate::{
    Login, View,
    limits::{
        CLOCK_SKEW, DEFAULT_KEEP_ALIVE, DEFAULT_MAX_WAITING, KEEP_ANSWER_FOR, KNOW_FINISHED_FOR,
        LOOK_FOR, MAX_KEPT_ANSWERS, MAX_KNOWN_FINISHED, MAX_LOOKS, MIN_KEY_BYTES, WARNING_INTERVAL,
        WEBHOOK_POLL_INTERVAL,
    },
    login::Settings,
    page,
    pending::Sealer,
    recent::Recent,
    wait::Waits,
};

/// The settings of a [`Login`]. Created by [`Login::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct LoginBuilder {
    sessions: Sessions,
    bondify: Bondify,
    origin: String,
    cookie_key: Vec<u8>,
    old_cookie_keys: Vec<Vec<u8>>,
    allow_http: bool,
    app_name: Option<String>,
    page: page::Render,
    /// The minimum pause between polls.
    pub(crate) slowed_to: Duration,
    max_waiting: usize,
    keep_alive: Duration,
    clock: Clock,
    wakeups: Option<Arc<dyn Wakeups>>,
}

pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl LoginBuilder {
    /// The default [`max_waiting`](Self::max_waiting): 1024.
    pub const DEFAULT_MAX_WAITING: usize = DEFAULT_MAX_WAITING;

    /// The pause between polls with [`webhooks`](Self::webhooks): 15 s.
    pub const WEBHOOK_POLL_INTERVAL: Duration = WEBHOOK_POLL_INTERVAL;

    /// The default [`keep_alive`](Self::keep_alive): 15 s.
    pub const DEFAULT_KEEP_ALIVE: Duration = DEFAULT_KEEP_ALIVE;

    pub(crate) fn new(sessions: Sessions, bondify: &Bondify) -> Self {
        Self {
            sessions,
            bondify: bondify.clone(),
            origin: String::new(),
            cookie_key: Vec::new(),
            old_cookie_keys: Vec::new(),
            allow_http: false,
            app_name: None,
            page: Arc::new(page::default_page),
            slowed_to: Duration::ZERO,
            max_waiting: DEFAULT_MAX_WAITING,
            keep_alive: DEFAULT_KEEP_ALIVE,
            clock: Arc::new(SystemTime::now),
            wakeups: None,
        }
    }

    /// Sets the origin that browsers see, e.g. `https://shop.example`. Forms of any other origin
    /// are refused. Required.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the secret that the login cookie is encrypted and authenticated with: 32 random bytes
    /// or more, the same on every instance and after a restart. Required.
    ///
    /// A new key ends the logins that have begun and are not finished, unless the old one is
    /// [accepted](Self::also_accept_cookie_key) for 15 minutes more.
    pub fn cookie_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.cookie_key = key.as_ref().to_vec();
        self
    }

    /// Also accepts cookies that were encrypted with this key. To change the key without ending logins, let
    /// each instance accept the new key first, then use it and accept the old one.
    pub fn also_accept_cookie_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.old_cookie_keys.push(key.as_ref().to_vec());
        self
    }

    /// Allows an origin with `http://` that is not loopback. Everybody on the network path can then read
    /// and replace cookies.
    pub fn allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Sets the name of the app, which the page shows. Use the project's name, because the bot shows that.
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = Some(name.into());
        self
    }

    /// Replaces the page by your own HTML.
    ///
    /// Escape the values of the [`View`]. Scripts and styles need its [`nonce`](View::nonce), because the
    /// content security policy stays the same.
    pub fn page(mut self, page: impl Fn(&View<'_>) -> String + Send + Sync + 'static) -> Self {
        self.page = Arc::new(page);
        self
    }

    /// Says that webhooks arrive, and that their handler calls [`Login::notify`]. A waiting login
    /// then polls every 15 seconds instead of at the client's
    /// [interval](bondify_client::ClientBuilder::poll_interval), unless that is longer: only to
    /// find a decision whose webhook was lost. Default: `false`.
    ///
    /// `notify` wakes the logins that wait in its own process. Of several instances, one receives
    /// the webhook: set [`wakeups`](Self::wakeups), or leave this off.
    pub fn webhooks(mut self, arrive: bool) -> Self {
        self.slowed_to = if arrive { WEBHOOK_POLL_INTERVAL } else { Duration::ZERO };
        self
    }

    /// Sets the wake-ups that the instances share: a webhook that one of them receives then wakes the page that
    /// waits at another. Without them [`Login::notify`] wakes the pages of its own process.
    pub fn wakeups(mut self, wakeups: impl Wakeups) -> Self {
        self.wakeups = Some(Arc::new(wakeups));
        self
    }

    /// Sets the maximum number of connections that wait for a login, in this process. When all wait, a
    /// further one takes the place of the oldest, whose page asks for the state every 3 seconds instead.
    pub fn max_waiting(mut self, connections: usize) -> Self {
        self.max_waiting = connections;
        self
    }

    /// Sets the pause between two heartbeats on a waiting connection. It must be shorter than the idle
    /// time-outs of proxies. Some servers notice only at the next heartbeat that a client has left. A
    /// page that misses two heartbeats opens another connection.
    pub fn keep_alive(mut self, pause: Duration) -> Self {
        self.keep_alive = pause;
        self
    }

    /// Sets the clock for the expiry of the cookie. Default: [`SystemTime::now`].
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the login.
    ///
    /// # Errors
    ///
    /// [`BuildError::ShortKey`] if the cookie key has fewer than 32 bytes,
    /// [`WrongOrigin`](BuildError::WrongOrigin) if the origin is missing or is not a scheme and a
    /// host, [`InsecureOrigin`](BuildError::InsecureOrigin) if it is `http://` and not loopback
    /// unless [`allow_http`](Self::allow_http) is called, and
    /// [`VerifyOnly`](BuildError::VerifyOnly) if the `Bondify` is `verify_only`.
    pub fn build(self) -> Result<Login, BuildError> {
        let origin = origin(&self.origin, self.allow_http)?;
        let mut keys = self.old_cookie_keys.iter().chain([&self.cookie_key]);
        if let Some(short) = keys.find(|key| key.len() < MIN_KEY_BYTES) {
            return Err(BuildError::ShortKey(short.len()));
        }
        if self.bondify.is_verify_only() {
            return Err(BuildError::VerifyOnly);
        }
        Ok(Login(Arc::new(Settings {
            proofs: self.bondify.proofs().leeway(CLOCK_SKEW).project(self.sessions.project_id()),
            sealer: Sealer::new(
                &self.cookie_key,
                &self.old_cookie_keys,
                origin.starts_with("https://"),
            ),
            slow_polls: self.sessions.clone().slowed_to(self.slowed_to),
            sessions: self.sessions,
            bondify: self.bondify,
            origin,
            app_name: self.app_name,
            page: self.page,
            waits: Waits::new(self.max_waiting, self.keep_alive),
            clock: self.clock,
            wakeups: self.wakeups,
            listening: OnceLock::new(),
            looks: Recent::new(LOOK_FOR, MAX_LOOKS),
            finished: Recent::new(KNOW_FINISHED_FOR, MAX_KNOWN_FINISHED),
            answers: Recent::new(KEEP_ANSWER_FOR, MAX_KEPT_ANSWERS),
            forms_of_others: Recent::new(WARNING_INTERVAL, 1),
        })))
    }
}

/// Checks the origin and returns it in the form that browsers send.
fn origin(text: &str, allow_http: bool) -> Result<String, BuildError> {
    let wrong = || BuildError::WrongOrigin(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    let is_plain = text.trim_end_matches('/').eq_ignore_ascii_case(&origin)
        || url.as_str().trim_end_matches('/') == origin;
    match url.scheme() {
        _ if !is_plain => Err(wrong()),
        "https" => Ok(origin),
        "http" if allow_http || is_loopback(&url) => Ok(origin),
        "http" => Err(BuildError::InsecureOrigin(origin)),
        _ => Err(wrong()),
    }
}

impl fmt::Debug for LoginBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginBuilder").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The error for a missing or unsafe setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The cookie key is missing or too short. Its length is in bytes.
    #[error(
        "the cookie key has {0} bytes; it needs 32 random bytes or more, for example from \
         `openssl rand -hex 32`"
    )]
    ShortKey(usize),
    /// The origin is missing, or is not a scheme and a host.
    #[error(
        "the origin must be https:// and a host as browsers see it, for example \
         https://shop.example: {0:?}"
    )]
    WrongOrigin(String),
    /// The origin is `http://` and not loopback.
    #[error(
        "the origin must be https (http is allowed on loopback only): {0}; `allow_http` allows it, \
         and everybody on the network path can then read and replace the login cookie"
    )]
    InsecureOrigin(String),
    /// The `Bondify` does not deduplicate.
    #[error(
        "the Bondify is `verify_only`, so a login could be finished twice; use a Bondify with a \
         dedupe store"
    )]
    VerifyOnly,
}

#[cfg(test)]
mod tests {
    use bondify_client::Client;
    use bondify_core::Secret;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn builder() -> LoginBuilder {
        let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
        let sessions = Client::new().unwrap().sessions("proj_1");
        Login::builder(sessions, &bondify).origin("https://shop.example").cookie_key(KEY)
    }

    fn error(builder: LoginBuilder) -> BuildError {
        builder.build().unwrap_err()
    }

    #[test]
    fn a_short_or_missing_key_is_refused() {
        assert_eq!(error(builder().cookie_key([7; 31])), BuildError::ShortKey(31));
        assert_eq!(error(builder().cookie_key("")), BuildError::ShortKey(0));
        assert_eq!(error(builder().also_accept_cookie_key([7; 31])), BuildError::ShortKey(31));
        assert!(builder().build().is_ok());
    }

    #[test]
    fn http_is_refused_unless_it_is_loopback_or_allowed() {
        let insecure = BuildError::InsecureOrigin("http://shop.example:8080".into());
        assert_eq!(error(builder().origin("http://shop.example:8080")), insecure);
        assert!(insecure.to_string().contains("allow_http"), "{insecure}");
        assert!(builder().origin("http://shop.example").allow_http().build().is_ok());
        for loopback in ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]"] {
            assert!(builder().origin(loopback).build().is_ok(), "{loopback}");
        }
    }

    #[test]
    fn the_origin_is_a_scheme_and_a_host() {
        for (given, sent) in [
            ("https://shop.example", "https://shop.example"),
            ("https://shop.example/", "https://shop.example"),
            ("https://Shop.Example:443", "https://shop.example"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(origin(given, false).as_deref(), Ok(sent));
        }
        for wrong in [
            "",
            "shop.example",
            "https://",
            "https://shop.example/app",
            "https://shop.example?a",
            "https://user@shop.example",
            "ftp://shop.example",
            "file:///app",
            "null",
        ] {
            assert_eq!(origin(wrong, true), Err(BuildError::WrongOrigin(wrong.into())));
        }
    }

    #[tokio::test]
    async fn a_bondify_that_does_not_deduplicate_is_refused() {
        let secret = Secret::new("whsec_test").unwrap();
        let bondify = Bondify::builder(secret).verify_only().build().unwrap();
        let sessions = Client::new().unwrap().sessions("proj_1");
        let builder = Login::builder(sessions, &bondify);
        let builder = builder.origin("https://shop.example").cookie_key(KEY);
        assert_eq!(error(builder), BuildError::VerifyOnly);
    }

    #[test]
    fn debug_shows_no_key() {
        let builder = || builder().cookie_key("hush".repeat(8));
        let shown = format!("{:?} {:?}", builder(), builder().build().unwrap());
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
