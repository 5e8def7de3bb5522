use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bondify_client::{Sessions, is_loopback};
use bondify_core::{Bondify, Wakeups};
use bytes::Bytes;
use http::Request;
use url::Url;

use crate::{
    BuildError, Login, Texts, View,
    accent::Accent,
    languages::Languages,
    limits::{
        CLOCK_SKEW, DEFAULT_KEEP_ALIVE, DEFAULT_MAX_WAITING, KEEP_ANSWER_FOR, KNOW_FINISHED_FOR,
        LOOK_FOR, MAX_KEPT_ANSWERS, MAX_KNOWN_FINISHED, MAX_LOOKS, MIN_KEY_BYTES, WARNING_INTERVAL,
        WEBHOOK_POLL_INTERVAL,
    },
    login::{Clock, Settings},
    page::{self, Design},
    pending::Sealer,
    policy::Policy,
    recent::Recent,
    return_to::is_local,
    room::Waits,
};

/// The settings of a [`Login`]. Created by [`Login::builder`].
///
/// ```
/// use bondify_client::Sessions;
/// use bondify_core::Bondify;
/// use bondify_login::{BuildError, Login};
///
/// fn login(sessions: Sessions, bondify: &Bondify, key: &str) -> Result<Login, BuildError> {
///     Login::builder(sessions, bondify)
///         .origin("https://shop.example")
///         .cookie_key(key) // openssl rand -hex 32
///         .app_name("Shop")
///         .accent("#0b6fb8")
///         .return_to("/orders")
///         .build()
/// }
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct LoginBuilder {
    sessions: Sessions,
    bondify: Bondify,
    origin: String,
    cookie_key: Option<Vec<u8>>,
    old_cookie_keys: Vec<Vec<u8>>,
    allow_http: bool,
    return_to: String,
    back_to: String,
    app_name: Option<String>,
    logo: Option<String>,
    accent: Option<String>,
    asks_for_phone: bool,
    languages: Languages,
    policy: String,
    page: page::Render,
    /// The minimum pause between polls.
    pub(crate) slowed_to: Duration,
    max_waiting: usize,
    keep_alive: Duration,
    clock: Clock,
    wakeups: Option<Arc<dyn Wakeups>>,
}

impl Login {
    /// Returns a builder of the sign-in to the project of `sessions`. `bondify` verifies proofs
    /// and remembers which logins are finished.
    pub fn builder(sessions: Sessions, bondify: &Bondify) -> LoginBuilder {
        LoginBuilder {
            sessions,
            bondify: bondify.clone(),
            origin: String::new(),
            cookie_key: None,
            old_cookie_keys: Vec::new(),
            allow_http: false,
            return_to: "/".to_owned(),
            back_to: "/".to_owned(),
            app_name: None,
            logo: None,
            accent: None,
            asks_for_phone: false,
            languages: Languages::default(),
            policy: String::new(),
            page: Arc::new(page::default_page),
            slowed_to: Duration::ZERO,
            max_waiting: DEFAULT_MAX_WAITING,
            keep_alive: DEFAULT_KEEP_ALIVE,
            clock: Arc::new(SystemTime::now),
            wakeups: None,
        }
    }
}

impl LoginBuilder {
    /// The default [`max_waiting`](Self::max_waiting): 1024.
    pub const DEFAULT_MAX_WAITING: usize = DEFAULT_MAX_WAITING;

    /// The pause between polls with [`webhooks`](Self::webhooks): 15 s.
    pub const WEBHOOK_POLL_INTERVAL: Duration = WEBHOOK_POLL_INTERVAL;

    /// The default [`keep_alive`](Self::keep_alive): 15 s.
    pub const DEFAULT_KEEP_ALIVE: Duration = DEFAULT_KEEP_ALIVE;

    /// Sets the origin that browsers see, e.g. `https://shop.example`. Forms of any other origin
    /// are refused. Required.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.origin("https://shop.example") // on this machine "http://localhost:3000"
    /// # }
    /// ```
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the secret that the login cookie is encrypted and authenticated with: 32 random bytes
    /// or more, the same on every instance and after a restart. Required, except for an origin on this machine,
    /// whose default is a new random key at each start.
    ///
    /// A new key ends the logins that have begun and are not finished, unless the old one is
    /// [accepted](Self::also_accept_cookie_key) for 15 minutes more.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> Result<(), std::env::VarError> {
    /// let login = login.cookie_key(std::env::var("LOGIN_COOKIE_KEY")?); // openssl rand -hex 32
    /// # drop(login);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cookie_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.cookie_key = Some(key.as_ref().to_vec());
        self
    }

    /// Also accepts cookies that were encrypted with this key. To change the key without ending logins, let
    /// each instance accept the new key first, then use it and accept the old one.
    ///
    /// ```
    /// use bondify_login::LoginBuilder;
    ///
    /// /// The first release: no instance uses the new key yet.
    /// fn first(login: LoginBuilder, old: &str, new: &str) -> LoginBuilder {
    ///     login.cookie_key(old).also_accept_cookie_key(new)
    /// }
    ///
    /// /// The second release, once each instance runs the first.
    /// fn second(login: LoginBuilder, old: &str, new: &str) -> LoginBuilder {
    ///     login.cookie_key(new).also_accept_cookie_key(old)
    /// }
    /// ```
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

    /// Sets the path that the browser goes to after a login whose form has no `return_to`. Default: `/`.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.return_to("/orders") // a path of the origin
    /// # }
    /// ```
    pub fn return_to(mut self, path: impl Into<String>) -> Self {
        self.return_to = path.into();
        self
    }

    /// Sets the path of the page's link "Back to …", for users who cancel or do not want to sign in. It
    /// should not require a login. Default: `/`.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.return_to("/account").back_to("/catalogue") // "/account" requires a login, "/catalogue" does not
    /// # }
    /// ```
    pub fn back_to(mut self, path: impl Into<String>) -> Self {
        self.back_to = path.into();
        self
    }

    /// Sets the name of the app, which the page shows. Use the project's name, because the bot shows that.
    /// Default: the host of the [`origin`](Self::origin).
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = Some(name.into());
        self
    }

    /// Sets the logo of the app, which the page shows above its heading: a path, an `https://` URL or a
    /// `data:image/` URL.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.app_name("Shop").logo("/assets/logo.svg").accent("#0b6fb8")
    /// # }
    /// ```
    pub fn logo(mut self, url: impl Into<String>) -> Self {
        self.logo = Some(url.into());
        self
    }

    /// Sets the colour of the page's main button, such as `#0b6fb8`. The text on it is white or black,
    /// whichever can be read.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.accent("#ffd54f") // the text on it is black
    /// # }
    /// ```
    pub fn accent(mut self, color: impl Into<String>) -> Self {
        self.accent = Some(color.into());
        self
    }

    /// Says that the project asks for the phone number. The page then tells users that the app will see it.
    /// Default: `false`.
    ///
    /// ```
    /// use bondify_client::ProjectSettings;
    /// use bondify_login::LoginBuilder;
    ///
    /// /// The setting of the project, for `Developer::update_project`.
    /// fn project() -> ProjectSettings {
    ///     ProjectSettings::new().req_phone(true)
    /// }
    ///
    /// /// The page says so.
    /// fn set(login: LoginBuilder) -> LoginBuilder {
    ///     login.asks_for_phone(true)
    /// }
    /// ```
    pub fn asks_for_phone(mut self, asks: bool) -> Self {
        self.asks_for_phone = asks;
        self
    }

    /// Sets the languages of the page. The page is in the browser's preferred language, and in the first of
    /// `languages` if the browser prefers none of them. Default: the languages of [`Texts`] and those that
    /// [`texts`](Self::texts) adds, with English as the fallback.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.languages(["de", "fr", "it"]) // "it" needs `texts`
    /// # }
    /// ```
    pub fn languages<L: Into<String>>(mut self, languages: impl IntoIterator<Item = L>) -> Self {
        self.languages.chosen = languages.into_iter().map(Into::into).collect();
        self
    }

    /// Adds the texts of a language, or replaces those in the same language.
    ///
    /// ```
    /// use bondify_login::Texts;
    ///
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// let mut english = Texts::in_language("en").unwrap();
    /// english.start = "Sign in to {app}".into();
    ///
    /// let mut italian = english.clone(); // then replace each text
    /// italian.language = "it".into();
    /// italian.begin = "Accedi con Telegram".into();
    /// login.texts(english).texts(italian)
    /// # }
    /// ```
    pub fn texts(mut self, texts: Texts) -> Self {
        self.languages.added.push(texts);
        self
    }

    /// Changes the texts of each response. The function gets the request and the texts in its language. It
    /// can replace some texts, for example at the path of another purpose, or all, to choose another
    /// language.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.texts_for(|request, texts| {
    ///     if request.uri().path().starts_with("/link") {
    ///         texts.start = "Link Telegram to your account".into();
    ///         texts.begin = "Link Telegram".into();
    ///     }
    /// })
    /// # }
    /// ```
    pub fn texts_for(
        mut self,
        adapt: impl Fn(&Request<Bytes>, &mut Texts) + Send + Sync + 'static,
    ) -> Self {
        self.languages.adapt = Some(Arc::new(adapt));
        self
    }

    /// Replaces the page by your own HTML.
    ///
    /// Escape the values of the [`View`]. Scripts and styles need its [`nonce`](View::nonce), because of the
    /// [content security policy](Self::content_security_policy).
    ///
    /// ```
    /// use bondify_login::{State, View};
    ///
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.page(|view: &View<'_>| match view.state {
    ///     State::Waiting { .. } => format!("<h1>Scan this code</h1>{}", view.qr_code()),
    ///     _ => format!(r#"<form method="post" action="{}"><button>Sign in</button></form>"#, view.page_url),
    /// })
    /// # }
    /// ```
    ///
    /// [The guide](https://github.com/bondify/bondify-rust/blob/main/guide/signing-in.md) has a page for every state.
    pub fn page(mut self, page: impl Fn(&View<'_>) -> String + Send + Sync + 'static) -> Self {
        self.page = Arc::new(page);
        self
    }

    /// Adds sources to the content security policy of the page, such as
    /// `font-src 'self'; img-src https://cdn.example`. Sources can be added to `connect-src`, `font-src`,
    /// `img-src`, `manifest-src`, `media-src` and `style-src`.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.content_security_policy("font-src 'self'; img-src https://cdn.example")
    /// # }
    /// ```
    pub fn content_security_policy(mut self, directives: impl Into<String>) -> Self {
        self.policy = directives.into();
        self
    }

    /// Says that webhooks arrive, and that their handler calls [`Login::notify`]. A waiting login
    /// then polls every 15 seconds instead of at the client's
    /// [interval](bondify_client::ClientBuilder::poll_interval), unless that is longer: only to
    /// find a decision whose webhook was lost. Default: `false`.
    ///
    /// `notify` wakes the logins that wait in its own process. Of several instances, one receives
    /// the webhook: set [`wakeups`](Self::wakeups), or leave this off.
    ///
    /// ```
    /// use bondify_core::Event;
    /// use bondify_login::{Login, LoginBuilder};
    ///
    /// fn set(login: LoginBuilder) -> LoginBuilder {
    ///     login.webhooks(true)
    /// }
    ///
    /// /// Called by the webhook's handler.
    /// fn on_event(login: &Login, event: &Event) {
    ///     login.notify(event);
    /// }
    /// ```
    pub fn webhooks(mut self, arrive: bool) -> Self {
        self.slowed_to = if arrive { WEBHOOK_POLL_INTERVAL } else { Duration::ZERO };
        self
    }

    /// Sets the wake-ups that the instances share. [`Login::notify`] at one instance then wakes the pages that
    /// wait at the others. Without them it wakes the pages of its own process only.
    ///
    /// ```
    /// use bondify_core::Wakeups;
    /// use bondify_login::LoginBuilder;
    ///
    /// /// `wakeups` is for example a `bondify_redis::RedisWakeups`.
    /// fn set(login: LoginBuilder, wakeups: impl Wakeups) -> LoginBuilder {
    ///     login.webhooks(true).wakeups(wakeups)
    /// }
    /// ```
    pub fn wakeups(mut self, wakeups: impl Wakeups) -> Self {
        self.wakeups = Some(Arc::new(wakeups));
        self
    }

    /// Sets the maximum number of connections that wait for a login, in this process. When all wait, a
    /// further one takes the place of the oldest, whose page asks for the state every 3 seconds instead.
    ///
    /// ```
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.max_waiting(10_000) // about 100 MB and 10 000 file descriptors, if all of them wait
    /// # }
    /// ```
    pub fn max_waiting(mut self, connections: usize) -> Self {
        self.max_waiting = connections;
        self
    }

    /// Sets the pause between two heartbeats on a waiting connection. It must be shorter than the idle
    /// time-outs of proxies. Some servers notice only at the next heartbeat that a client has disconnected. A
    /// page that misses two heartbeats opens another connection.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// login.keep_alive(Duration::from_secs(5)) // behind a proxy that closes idle connections after 10 s
    /// # }
    /// ```
    pub fn keep_alive(mut self, pause: Duration) -> Self {
        self.keep_alive = pause;
        self
    }

    /// Sets the clock for the expiry of the cookie. Default: [`SystemTime::now`].
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// # fn set(login: bondify_login::LoginBuilder) -> bondify_login::LoginBuilder {
    /// // In a test of an expired login.
    /// login.clock(|| SystemTime::now() + Duration::from_secs(20 * 60))
    /// # }
    /// ```
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the login.
    ///
    /// ```
    /// use bondify_client::Client;
    /// use bondify_core::{Bondify, Secret};
    /// use bondify_login::{BuildError, Login};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bondify = Bondify::builder(Secret::new("whsec_test")?).build()?;
    /// let login = Login::builder(Client::new()?.sessions("proj_abc123"), &bondify)
    ///     .origin("http://shop.example")
    ///     .cookie_key("0".repeat(64));
    /// assert!(matches!(login.build(), Err(BuildError::InsecureOrigin(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError::ShortKey`] if the cookie key is missing or has fewer than 32 bytes,
    /// [`WrongOrigin`](BuildError::WrongOrigin) if the origin is missing or is not a scheme and a
    /// host, [`InsecureOrigin`](BuildError::InsecureOrigin) if it is `http://` and not loopback
    /// unless [`allow_http`](Self::allow_http) is called,
    /// [`VerifyOnly`](BuildError::VerifyOnly) if the `Bondify` is `verify_only`, and
    /// [`WrongPath`](BuildError::WrongPath), [`WrongLogo`](BuildError::WrongLogo),
    /// [`WrongColor`](BuildError::WrongColor), [`WrongPolicy`](BuildError::WrongPolicy) or
    /// [`UnknownLanguage`](BuildError::UnknownLanguage) if a setting of the page is not valid.
    pub fn build(self) -> Result<Login, BuildError> {
        let origin = origin(&self.origin, self.allow_http)?;
        let cookie_key = self.cookie_key.clone().or_else(|| own_key(&origin)).unwrap_or_default();
        let mut keys = self.old_cookie_keys.iter().chain([&cookie_key]);
        if let Some(short) = keys.find(|key| key.len() < MIN_KEY_BYTES) {
            return Err(BuildError::ShortKey(short.len()));
        }
        if self.bondify.is_verify_only() {
            return Err(BuildError::VerifyOnly);
        }
        for path in [&self.return_to, &self.back_to] {
            if !is_local(path) {
                return Err(BuildError::WrongPath(path.clone()));
            }
        }
        let design = self.design(&origin)?;
        Ok(Login(Arc::new(Settings {
            proofs: self.bondify.proofs().leeway(CLOCK_SKEW).project(self.sessions.project_id()),
            sealer: Sealer::new(&cookie_key, &self.old_cookie_keys, origin.starts_with("https://")),
            slow_polls: self.sessions.clone().slowed_to(self.slowed_to),
            sessions: self.sessions,
            bondify: self.bondify,
            origin,
            return_to: self.return_to,
            design,
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

    fn design(&self, origin: &str) -> Result<Design, BuildError> {
        let mut policy = Policy::new();
        let refused = || BuildError::WrongPolicy(self.policy.clone());
        policy.add(&self.policy).ok_or_else(refused)?;
        if let Some(logo) = &self.logo {
            let source = image_source(logo).ok_or_else(|| BuildError::WrongLogo(logo.clone()))?;
            policy.add(&source).ok_or_else(|| BuildError::WrongLogo(logo.clone()))?;
        }
        let accent = |color: &String| {
            Accent::parse(color).ok_or_else(|| BuildError::WrongColor(color.clone()))
        };
        if let Some(language) = self.languages.unknown() {
            return Err(BuildError::UnknownLanguage(language.clone()));
        }
        let host = origin.rsplit('/').next().unwrap_or(origin);
        Ok(Design {
            app_name: self.app_name.clone().unwrap_or_else(|| host.to_owned()),
            logo: self.logo.clone(),
            accent: self.accent.as_ref().map(accent).transpose()?,
            languages: self.languages.clone(),
            asks_for_phone: self.asks_for_phone,
            back_to: self.back_to.clone(),
            policy,
            render: self.page.clone(),
        })
    }
}

/// The directive that the policy needs for an image, besides those of this origin. `None` if the URL has
/// another form.
fn image_source(url: &str) -> Option<String> {
    if is_local(url) || url.starts_with("data:image/") {
        return Some(String::new());
    }
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    Some(format!("img-src {}", url.origin().ascii_serialization()))
}

/// The default cookie key of an origin on this machine.
fn own_key(origin: &str) -> Option<Vec<u8>> {
    Url::parse(origin).ok().filter(is_loopback)?;
    let mut key = vec![0; MIN_KEY_BYTES];
    getrandom::fill(&mut key).ok()?;
    Some(key)
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

#[cfg(test)]
mod tests {
    use bondify_client::Client;
    use bondify_core::Secret;

    use super::*;
    use crate::pending::Pending;

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
        let without = || LoginBuilder { cookie_key: None, ..builder() };
        assert_eq!(error(without()), BuildError::ShortKey(0));
        assert_eq!(
            error(without().origin("http://shop.example").allow_http()),
            BuildError::ShortKey(0)
        );
    }

    #[test]
    fn an_origin_on_this_machine_has_a_key_of_its_own() {
        let local = || builder().origin("http://127.0.0.1:3000");
        let without = || LoginBuilder { cookie_key: None, ..local() }.build().unwrap();
        let (Login(first), Login(second)) = (without(), without());
        let now = SystemTime::now();
        let session = bondify_client::Session::resume("sess_1", "https://t.me/b", now);
        let login = Pending::begin(&session, "/login", "/", None, now).unwrap();
        let set = first.sealer.seal(&login, now).unwrap();
        let headers = http::HeaderMap::from_iter([(http::header::COOKIE, set)]);
        assert_eq!(first.sealer.open(&headers).len(), 1);
        assert!(second.sealer.open(&headers).is_empty());
        assert_eq!(error(local().cookie_key("")), BuildError::ShortKey(0));
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

    #[test]
    fn settings_of_the_page_that_are_not_valid_are_refused() {
        let set = |path: &str| BuildError::WrongPath(path.into());
        assert_eq!(error(builder().return_to("//evil.example")), set("//evil.example"));
        assert_eq!(error(builder().back_to("https://evil.example")), set("https://evil.example"));
        for logo in ["logo.svg", "http://cdn.example/logo.svg", "javascript:alert(1)", ""] {
            assert_eq!(error(builder().logo(logo)), BuildError::WrongLogo(logo.into()));
        }
        assert_eq!(error(builder().accent("blue")), BuildError::WrongColor("blue".into()));
        let policy = "script-src 'unsafe-inline'";
        let refused = BuildError::WrongPolicy(policy.into());
        assert_eq!(error(builder().content_security_policy(policy)), refused);
        assert_eq!(error(builder().languages(["xx"])), BuildError::UnknownLanguage("xx".into()));
    }

    #[test]
    fn the_policy_allows_the_logo() {
        for (logo, sources) in [
            ("/logo.svg", "img-src 'self' data:;"),
            ("data:image/svg+xml,%3Csvg/%3E", "img-src 'self' data:;"),
            ("https://cdn.example/a.svg?b", "img-src 'self' data: https://cdn.example;"),
        ] {
            let Login(settings) = builder().logo(logo).build().unwrap();
            let policy = settings.design.policy.with_nonce("");
            assert!(policy.contains(sources), "{policy}");
        }
    }

    #[test]
    fn an_app_without_a_name_has_that_of_its_host() {
        let Login(settings) = builder().build().unwrap();
        assert_eq!(settings.design.app_name, "shop.example");
    }
}
