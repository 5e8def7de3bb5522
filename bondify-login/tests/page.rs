//! The settings of the page, by the functions that the routes of every framework call.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use bondify_client::Client;
use bondify_core::Bondify;
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_login::{
    Login, LoginBuilder, SignedIn, Texts,
    adapter::{self, Body},
};
use bytes::Bytes;
use http::{
    HeaderMap, Request, Response,
    header::{ACCEPT, ACCEPT_LANGUAGE, COOKIE, HeaderName, LOCATION, SET_COOKIE, USER_AGENT},
};

const PROJECT: &str = "proj_login";
const ORIGIN: &str = "https://shop.example";

struct Rig {
    emulator: Emulator,
    login: Login,
}

impl Rig {
    async fn with(set: impl FnOnce(LoginBuilder) -> LoginBuilder) -> Self {
        let project = ProjectSettings::new().id(PROJECT).name("Shop").public_access(true);
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        let secret = emulator.project(PROJECT).unwrap().secret();
        let bondify = Bondify::builder(secret).build().unwrap();
        let client = Client::builder().base_url(emulator.url()).build().unwrap();
        let login = Login::builder(client.sessions(PROJECT), &bondify);
        let login = set(login.origin(ORIGIN).cookie_key([7; 32]).app_name("Shop"));
        Self { emulator, login: login.build().unwrap() }
    }

    async fn get(&self, url: &str, headers: &[(HeaderName, &str)]) -> Page {
        let mut request = Request::get(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        Page::of(adapter::page(&self.login, &request.body(Bytes::new()).unwrap()).await)
    }

    /// Begins a login at `/login`. Returns its cookie and the URL that it redirects to.
    async fn begin(&self, form: &str, headers: &[(HeaderName, &str)]) -> (String, String) {
        let mut request = Request::post("/login").header("origin", ORIGIN);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Bytes::from(form.to_owned())).unwrap();
        let begun = adapter::begin(&self.login, &request).await;
        let header = |name| begun.headers()[name].to_str().unwrap().to_owned();
        (header(SET_COOKIE), header(LOCATION).trim_start_matches('.').to_owned())
    }

    /// Confirms and finishes the login with this cookie.
    async fn finish(&self, cookie: &str) -> SignedIn {
        self.emulator.confirm(&self.emulator.sessions()[0].token, Persona::default()).unwrap();
        let json = [(COOKIE, cookie), (ACCEPT, "application/json")];
        let state: serde_json::Value =
            serde_json::from_str(&self.get("/login", &json).await.body).unwrap();
        let request =
            Request::post("/login/finish").header("origin", ORIGIN).header(COOKIE, cookie);
        let form = format!("proof={}", state["proof"].as_str().unwrap());
        let finishing = adapter::finish(&self.login, &request.body(form.into()).unwrap()).await;
        finishing.ok().unwrap().signed_in().clone()
    }
}

/// A response, without the control characters that isolate names.
struct Page {
    headers: HeaderMap,
    body: String,
}

impl Page {
    fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let Body::Full(body) = body else { panic!("a stream") };
        let body = String::from_utf8(body.to_vec()).unwrap().replace(['\u{2068}', '\u{2069}'], "");
        Self { headers: head.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    #[track_caller]
    fn has(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.body.contains(part), "{part}: {}", self.body);
        }
    }
}

#[tokio::test]
async fn the_page_has_the_language_of_the_browser() {
    let rig = Rig::with(|login| login).await;
    for (accepted, language, direction, heading) in [
        ("de-AT,de;q=0.9", "de", "ltr", "Bei Shop anmelden"),
        ("fa", "fa", "rtl", "ورود به Shop"),
        ("nl", "en", "ltr", "Sign in to Shop"),
    ] {
        let page = rig.get("/login", &[(ACCEPT_LANGUAGE, accepted)]).await;
        let html = format!("<html lang=\"{language}\" dir=\"{direction}\">");
        page.has(&[&html, &format!("<title>{heading}</title>"), &format!("<h1>{heading}</h1>")]);
        assert_eq!(page.header("content-language"), language);
        assert_eq!(page.header("vary"), "accept, accept-language");
    }
    let json = rig.get("/login", &[(ACCEPT, "application/json"), (ACCEPT_LANGUAGE, "de")]).await;
    assert_eq!((&*json.body, json.header("vary")), (r#"{"state":"start"}"#, "accept"));
}

#[tokio::test]
async fn the_app_decides_on_languages_and_texts() {
    let rig = Rig::with(|login| {
        let mut italian = Texts::in_language("en").unwrap();
        italian.language = "it".into();
        italian.start = "Accedi a {app}".into();
        login.texts(italian).languages(["it", "de"]).texts_for(|request, texts| {
            if request.uri().path() == "/link" {
                texts.begin = "Link Telegram".into();
            }
        })
    })
    .await;
    rig.get("/login", &[(ACCEPT_LANGUAGE, "en")])
        .await
        .has(&["Accedi a Shop", "Sign in with Telegram"]);
    rig.get("/login", &[(ACCEPT_LANGUAGE, "de")]).await.has(&["Mit Telegram anmelden"]);
    rig.get("/link", &[]).await.has(&["Accedi a Shop", "<button>Link Telegram</button>"]);
}

#[tokio::test]
async fn the_page_has_the_looks_of_the_app() {
    let rig = Rig::with(|login| {
        login
            .logo("https://cdn.example/logo.svg")
            .accent("#FFD400")
            .asks_for_phone(true)
            .content_security_policy("font-src 'self'")
    })
    .await;
    let page = rig.get("/login", &[]).await;
    page.has(&[
        "src=\"https://cdn.example/logo.svg\"",
        "--accent: #FFD400; --on-accent: #000000;",
        "Shop will see your name, username, Telegram ID and phone number.",
    ]);
    let policy = page.header("content-security-policy");
    for directive in ["img-src 'self' data: https://cdn.example;", "font-src 'self';"] {
        assert!(policy.contains(directive), "{policy}");
    }
    let plain = Rig::with(|login| login).await.get("/login", &[]).await;
    plain.has(&["<svg class=\"sign\"", "Shop will see your name, username and Telegram ID."]);
}

#[tokio::test]
async fn a_page_of_the_apps_own_knows_the_request() {
    #[derive(Clone)]
    struct Tenant(&'static str);
    let rig = Rig::with(|login| {
        login.page(|view| {
            let tenant = view.request.extensions().get().map_or("", |Tenant(name)| name);
            let query = view.request.uri().query().unwrap_or_default();
            format!("{tenant} {query} {} {} {}", view.texts.begin, view.app_name, view.back_to)
        })
    })
    .await;
    let mut request = Request::get("/login?theme=dark").header(ACCEPT_LANGUAGE, "es");
    request.extensions_mut().unwrap().insert(Tenant("acme"));
    let page = adapter::page(&rig.login, &request.body(Bytes::new()).unwrap()).await;
    assert_eq!(Page::of(page).body, "acme theme=dark Iniciar sesión con Telegram Shop /");
}

#[tokio::test]
async fn users_come_back_to_where_they_were() {
    let rig = Rig::with(|login| login.return_to("/account")).await;
    let leads_to = |path: &str| format!("name=\"return_to\" value=\"{path}\"");
    rig.get("/login", &[]).await.has(&[&leads_to("/account")]);
    rig.get("/login?return_to=/basket%3Fa=b", &[]).await.has(&[&leads_to("/basket?a=b")]);
    for elsewhere in ["https://evil.example", "//evil.example", ""] {
        let url = format!("/login?return_to={elsewhere}");
        rig.get(&url, &[]).await.has(&[&leads_to("/account")]);
    }

    let (cookie, url) = rig.begin("return_to=/basket%3Fa%3Db", &[]).await;
    rig.emulator.cancel(&rig.emulator.sessions()[0].token).unwrap();
    let cancelled = rig.get(&url, &[(COOKIE, &cookie)]).await;
    cancelled.has(&["You cancelled the login", &leads_to("/basket?a=b")]);
    let expired = rig.get(&url, &[]).await;
    expired.has(&["Sign in with Telegram", &leads_to("/basket?a=b")]);

    let (cookie, _) = rig.begin("", &[]).await;
    assert_eq!(rig.finish(&cookie).await.return_to, "/account");
}

#[tokio::test]
async fn every_state_has_a_way_back() {
    let rig = Rig::with(|login| login.back_to("/shop")).await;
    let back = "<a href=\"/shop\">Back to Shop</a>";
    rig.get("/login", &[]).await.has(&[back]);
    let (cookie, _) = rig.begin("", &[]).await;
    rig.get("/login", &[(COOKIE, &cookie)]).await.has(&["Waiting for you to confirm", back]);
    let (cookie, _) = rig.begin("", &[]).await;
    rig.emulator.cancel(&rig.emulator.sessions()[0].token).unwrap();
    rig.get("/login", &[(COOKIE, &cookie)]).await.has(&["You cancelled the login", back]);
    let (cookie, _) = rig.begin("", &[]).await;
    rig.emulator.expire(&rig.emulator.sessions()[0].token).unwrap();
    rig.get("/login", &[(COOKIE, &cookie)]).await.has(&["The login has expired", back]);
    rig.emulator.delete_project(PROJECT).unwrap();
    for (origin, text) in [(ORIGIN, "not possible right now"), ("http://shop.example", ORIGIN)] {
        let request = Request::post("/login").header("origin", origin).body(Bytes::new()).unwrap();
        Page::of(adapter::begin(&rig.login, &request).await).has(&[text, back]);
    }
}

#[tokio::test]
async fn a_login_has_the_time_and_the_browser_of_its_beginning() {
    let before = SystemTime::now() - Duration::from_millis(1); // the cookie has whole milliseconds
    let rig = Rig::with(|login| login).await;
    let (cookie, _) = rig.begin("", &[(USER_AGENT, "Firefox on Linux")]).await;
    let begun = SystemTime::now();
    let signed_in = rig.finish(&cookie).await;
    assert_eq!(signed_in.user_agent.as_deref(), Some("Firefox on Linux"));
    assert!(before <= signed_in.began_at && signed_in.began_at <= begun);

    let (cookie, _) = rig.begin("", &[(USER_AGENT, &"a".repeat(10_000))]).await;
    assert_eq!(rig.finish(&cookie).await.user_agent, Some("a".repeat(200)));
    let (cookie, _) = rig.begin("", &[]).await;
    assert_eq!(rig.finish(&cookie).await.user_agent, None);
}

#[tokio::test]
async fn the_largest_login_fits_into_a_cookie() {
    let rig = Rig::with(|login| login).await;
    let form = format!("return_to=/{}", "%26".repeat(511));
    let (cookie, _) = rig.begin(&form, &[(USER_AGENT, &"\"".repeat(200))]).await;
    let (value, _) = cookie.split_once(';').unwrap();
    assert!(value.len() < 2048, "{}", value.len());
    assert_eq!(rig.finish(&cookie).await.return_to.len(), 512);
}
