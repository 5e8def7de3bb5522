use std::{fmt, io, net::SocketAddr};

use axum::http::{
    Response,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, SET_COOKIE},
};
use cookie::{Cookie, CookieJar, time::Duration};
use reqwest::{Client, RequestBuilder, redirect::Policy};
use serde_json::Value;

use crate::{Emulator, Persona};

/// A browser in a test, which signs in at an app on this machine.
///
/// It keeps cookies, runs no scripts and follows no redirects. It uses the sign-in of `bondify-login` as a
/// single-page app does. It speaks HTTP also to an app whose `origin` is `https://`.
///
/// ```
/// use std::{error::Error, net::SocketAddr};
///
/// use bondify_emulator::{Browser, Emulator, Persona};
///
/// async fn tests(emulator: &Emulator, app: SocketAddr) -> Result<(), Box<dyn Error>> {
///     let mut browser = Browser::new(emulator, app);
///     browser.sign_in("/login", Persona::new("42", "Ada")).await?;
///     assert!(browser.get("/").await?.body().contains("Welcome, Ada"));
///
///     // The user cancels.
///     let mut browser = Browser::new(emulator, app);
///     let session = browser.begin("/login").await?;
///     emulator.cancel(&session)?;
///     browser.finish("/login").await?;
///     assert!(!browser.get("/").await?.body().contains("Welcome"));
///     Ok(())
/// }
/// ```
pub struct Browser<'a> {
    emulator: &'a Emulator,
    client: Client,
    app: SocketAddr,
    cookies: CookieJar,
}

impl<'a> Browser<'a> {
    /// Opens a browser without cookies. `app` is the address that the app listens on.
    ///
    /// # Panics
    ///
    /// If the system has no randomness.
    #[must_use]
    pub fn new(emulator: &'a Emulator, app: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build();
        let client = client.expect("a client without TLS needs only randomness");
        Self { emulator, client, app, cookies: CookieJar::new() }
    }

    /// Requests a page.
    ///
    /// # Errors
    ///
    /// If the app cannot be reached.
    pub async fn get(&mut self, path: &str) -> io::Result<Response<String>> {
        self.send(self.client.get(self.url(path))).await
    }

    /// Sends a form, as a page of the app does. `form` is encoded, such as `name=Ada&city=London`.
    ///
    /// ```
    /// use std::{io, net::SocketAddr};
    ///
    /// use bondify_emulator::{Browser, Emulator};
    ///
    /// async fn sign_out(emulator: &Emulator, app: SocketAddr) -> io::Result<()> {
    ///     let mut browser = Browser::new(emulator, app);
    ///     let answer = browser.post("/logout", "").await?;
    ///     assert_eq!(answer.status(), 303);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the app cannot be reached.
    pub async fn post(&mut self, path: &str, form: &str) -> io::Result<Response<String>> {
        self.send(self.form(path, form)).await
    }

    /// Signs in at the page at `path`: begins a login, confirms it as `persona`, and finishes it. Returns the answer
    /// of the app's handler.
    ///
    /// ```
    /// use std::{error::Error, net::SocketAddr};
    ///
    /// use bondify_emulator::{Browser, Emulator, Persona};
    ///
    /// async fn a_user_signs_in(emulator: &Emulator, app: SocketAddr) -> Result<(), Box<dyn Error>> {
    ///     let mut browser = Browser::new(emulator, app);
    ///     let answer = browser.sign_in("/login?return_to=/orders", Persona::new("42", "Ada")).await?;
    ///     assert_eq!(answer.headers()["location"], "/orders");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Self::begin), and if `persona` is not valid.
    pub async fn sign_in(&mut self, path: &str, persona: Persona) -> io::Result<Response<String>> {
        let session = self.begin(path).await?;
        self.emulator.confirm(&session, persona).map_err(io::Error::other)?;
        self.finish(path).await
    }

    /// Begins a login at the page at `path`, and returns the session token, to
    /// [confirm](Emulator::confirm), [cancel](Emulator::cancel) or [expire](Emulator::expire). The query of
    /// `path` is sent as the form, such as `/login?return_to=/account`.
    ///
    /// # Errors
    ///
    /// If the app cannot be reached, or its page begins no login at this emulator.
    pub async fn begin(&mut self, path: &str) -> io::Result<String> {
        let (page, form) = path.split_once('?').unwrap_or((path, ""));
        let begun = self.send(self.form(page, form).header(ACCEPT, "application/json")).await?;
        let state: Value = serde_json::from_str(begun.body()).unwrap_or_default();
        let deeplink = state["deeplink"].as_str().unwrap_or_default();
        let mut sessions = self.emulator.sessions().into_iter();
        let session = sessions.find(|session| deeplink.ends_with(&*session.token));
        session.map(|session| session.token.to_string()).ok_or_else(|| {
            io::Error::other(format!("no login has begun: {} {}", begun.status(), begun.body()))
        })
    }

    /// Waits until the newest login at the page at `path` is decided, and finishes it if the user has confirmed.
    /// Returns the answer of the app's handler. Without a confirmed login of this browser it returns the page.
    ///
    /// # Errors
    ///
    /// If the app cannot be reached.
    pub async fn finish(&mut self, path: &str) -> io::Result<Response<String>> {
        let page = path.split('?').next().unwrap_or_default();
        let events = self.get(&format!("{page}/events")).await?.into_body();
        let decision =
            events.split_once("event: state\ndata: ").and_then(|(_, data)| data.lines().next());
        let state: Value =
            decision.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        match state["proof"].as_str() {
            Some(proof) => self.post(&format!("{page}/finish"), &format!("proof={proof}")).await,
            None => self.get(path).await,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app)
    }

    fn form(&self, path: &str, form: &str) -> RequestBuilder {
        self.client
            .post(self.url(path))
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    async fn send(&mut self, request: RequestBuilder) -> io::Result<Response<String>> {
        let cookies: Vec<_> = self.cookies.iter().map(|it| it.stripped().to_string()).collect();
        let request = request.header(COOKIE, cookies.join("; "));
        let response = request.send().await.map_err(io::Error::other)?;
        let set = response.headers().get_all(SET_COOKIE).iter().filter_map(|it| it.to_str().ok());
        for cookie in set.filter_map(|it| Cookie::parse(it.to_owned()).ok()) {
            if cookie.max_age().is_some_and(|age| age <= Duration::ZERO) {
                self.cookies.force_remove(cookie.name());
            } else {
                self.cookies.add_original(cookie);
            }
        }
        let mut answer = Response::new(String::new());
        *answer.status_mut() = response.status();
        answer.headers_mut().clone_from(response.headers());
        *answer.body_mut() = response.text().await.map_err(io::Error::other)?;
        Ok(answer)
    }
}

impl fmt::Debug for Browser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("app", &self.app).finish_non_exhaustive()
    }
}
