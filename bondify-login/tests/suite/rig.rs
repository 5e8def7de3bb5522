use std::{
    env,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bondify_client::{Client, Sessions};
use bondify_core::{Bondify, Secret};
use bondify_emulator::{Builder, Emulator, Persona, ProjectSettings};
use bondify_login::{Login, LoginBuilder};
use bondify_testkit::{Connection, Response, http_suite::Server};
use serde_json::Value;

pub(crate) const PROJECT: &str = "proj_login";
pub(crate) const ORIGIN: &str = "https://shop.example";
/// The beginning of the cookies' names.
pub(crate) const COOKIE: &str = "__Host-bondify-login-";
pub(crate) const KEY: [u8; 32] = [7; 32];

/// A framework under test. It serves a login at `/login` and at `/link`. The handler calls
/// [`handle`](super::handle), sets the cookie `session` to the user's id, and redirects to `return_to`.
pub(crate) trait Framework {
    async fn serve(login: Login) -> Server;

    /// Whether the framework passes on headers that are not UTF-8.
    const PASSES_ALL_BYTES: bool = true;
}

/// A local Bondify, and an app that uses it.
pub(crate) struct Rig {
    pub(crate) emulator: Emulator,
    pub(crate) secret: Secret,
    pub(crate) bondify: Bondify,
    pub(crate) login: Login,
    pub(crate) server: Server,
}

impl Rig {
    pub(crate) async fn start<F: Framework>() -> Self {
        Self::with::<F>(Duration::from_secs(600), |login| login).await
    }

    /// Starts both, with this lifetime of sessions and with other settings.
    pub(crate) async fn with<F: Framework>(
        lifetime: Duration,
        set: impl FnOnce(LoginBuilder) -> LoginBuilder,
    ) -> Self {
        Self::with_clock::<F>(lifetime, SystemTime::now, set).await
    }

    /// Starts both. The server has this clock.
    pub(crate) async fn with_clock<F: Framework>(
        lifetime: Duration,
        clock: impl Fn() -> SystemTime + Clone + Send + Sync + 'static,
        set: impl FnOnce(LoginBuilder) -> LoginBuilder,
    ) -> Self {
        let project = ProjectSettings::new().id(PROJECT).name("Shop").public_access(true);
        let reading = env::var("BONDIFY_TEST_READING").ok().map(|name| name.parse().unwrap());
        let emulator = reading.into_iter().fold(Emulator::builder(), Builder::reading);
        let emulator = emulator.project(project).session_lifetime(lifetime).start().await.unwrap();
        let secret = emulator.project(PROJECT).unwrap().secret();
        let bondify = Bondify::builder(secret.clone()).clock(clock.clone()).build().unwrap();
        let login = Login::builder(sessions(emulator.url()), &bondify);
        let login = login.origin(ORIGIN).cookie_key(KEY).app_name("Shop").clock(clock);
        let login = set(login.keep_alive(Duration::from_millis(100))).build().unwrap();
        let server = F::serve(login.clone()).await;
        Self { emulator, secret, bondify, login, server }
    }

    /// Returns a browser that has begun a login.
    pub(crate) async fn begin(&self) -> Browser {
        let mut browser = self.browser();
        self.begin_in(&mut browser, "").await;
        browser
    }

    /// Begins a login in the browser, and returns the URL of its page.
    pub(crate) async fn begin_in(&self, browser: &mut Browser, form: &str) -> String {
        let begun = browser.post("/login", form).await;
        assert_eq!(begun.status, 303, "{begun:?}");
        browser.token = self.emulator.sessions()[0].token.to_string();
        let page = begun.header("location").unwrap();
        assert!(page.starts_with("./login?id="), "{page}");
        page.trim_start_matches('.').to_owned()
    }

    /// Returns a browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser { server: self.server.address(), cookie: String::new(), token: String::new() }
    }

    pub(crate) fn confirm(&self, token: &str, id: &str) {
        self.emulator.confirm(token, Persona::new(id, "Ada")).unwrap();
    }
}

pub(crate) fn sessions(url: &str) -> Sessions {
    let client = Client::builder().base_url(url).poll_interval(Duration::from_millis(500));
    client.build().unwrap().sessions(PROJECT)
}

/// A minimal browser: it keeps the login cookies and sends forms with its origin.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) server: SocketAddr,
    /// The header `Cookie`.
    pub(crate) cookie: String,
    /// The session of the newest login.
    pub(crate) token: String,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, "accept: text/html\r\n", "").await
    }

    pub(crate) async fn json(&mut self, method: &str, path: &str) -> Value {
        let headers = "accept: application/json\r\nsec-fetch-site: same-origin\r\n";
        let response = self.request(method, path, headers, "").await;
        assert_eq!(response.header("content-type"), Some("application/json"));
        serde_json::from_str(&response.body).unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Response {
        let headers = format!("origin: {ORIGIN}\r\nsec-fetch-site: same-origin\r\n");
        self.request("POST", path, &headers, form).await
    }

    pub(crate) async fn finish(&mut self, proof: &str) -> Response {
        self.post("/login/finish", &format!("proof={proof}")).await
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        form: &str,
    ) -> Response {
        let mut connection = self.send(method, path, headers, form).await;
        let response = connection.response().await.unwrap();
        self.keep_cookies(&response);
        response
    }

    fn keep_cookies(&mut self, response: &Response) {
        let set = response.headers.iter().filter(|(name, _)| name == "set-cookie");
        for set in set.map(|(_, set)| set).filter(|set| set.starts_with(COOKIE)) {
            let (cookie, attributes) = set.split_once(';').unwrap();
            let name = cookie.split_inclusive('=').next().unwrap();
            let kept = self.cookie.split("; ").filter(|it| !it.is_empty() && !it.starts_with(name));
            let is_removal = attributes.ends_with("Max-Age=0");
            let cookies: Vec<_> = kept.chain((!is_removal).then_some(cookie)).collect();
            self.cookie = cookies.join("; ");
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        form: &str,
    ) -> Connection {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: shop.example\r\ncookie: {}\r\n{headers}\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            self.cookie,
            form.len(),
        );
        let mut connection = Connection::open(self.server).await.unwrap();
        connection.send(request.as_bytes()).await.unwrap();
        connection
    }

    /// Requests the state until it is this one, as requests within a second share an answer.
    pub(crate) async fn until(&mut self, page: &str, state: &str) -> Value {
        loop {
            let json = self.json("GET", page).await;
            if json["state"] == state {
                return json;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the decision, through server-sent events.
    pub(crate) async fn decision(&mut self) -> Value {
        self.decision_at("/login/events").await
    }

    pub(crate) async fn decision_at(&mut self, url: &str) -> Value {
        let events = self.get(url).await;
        assert_eq!(events.header("content-type"), Some("text/event-stream"), "{events:?}");
        let data = events.body.split_once("event: state\ndata: ").unwrap().1;
        serde_json::from_str(data).unwrap()
    }

    /// Waits for the confirmation and returns its proof.
    pub(crate) async fn proof(&mut self) -> String {
        let decision = self.decision().await;
        assert_eq!(decision["state"], "confirmed");
        decision["proof"].as_str().unwrap().to_owned()
    }
}

/// Returns the value of the cookie `session`, which the handler sets if it is called.
pub(crate) fn session(response: &Response) -> Option<&str> {
    let mut set = response.headers.iter().filter(|(name, _)| name == "set-cookie");
    let session = set.find_map(|(_, set)| set.strip_prefix("session="))?;
    session.split(';').next()
}
