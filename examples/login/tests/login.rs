//! The web app and a local Bondify, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::time::Duration;

use bondify_emulator::Persona;
use bondify_testkit::{Connection, Payload, Response, within_a_minute};

use crate::rig::{LONG, Rig};

impl Rig {
    async fn request(&self, method: &str, path: &str, cookie: &str) -> Response {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncookie: {cookie}\r\ncontent-length: 0\r\n\r\n",
            self.app
        );
        let mut connection = Connection::open(self.app).await.unwrap();
        connection.send(request.as_bytes()).await.unwrap();
        connection.response().await.unwrap()
    }

    async fn get(&self, path: &str, cookie: &str) -> Response {
        self.request("GET", path, cookie).await
    }

    /// Presses the button. Returns the browser's cookie and the session's token.
    async fn begin(&self) -> (String, String) {
        let response = self.request("POST", "/login", "").await;
        assert_eq!((response.status, response.header("location")), (303, Some("/login")));
        let token = self.emulator.sessions()[0].token.to_string();
        (cookie(&response), token)
    }

    /// What the browser is told when the login has ended.
    async fn ended(&self, cookie: &str) {
        let events = self.get("/login/events", cookie).await;
        assert_eq!(events.header("content-type"), Some("text/event-stream"));
        assert_eq!(events.body, "event: ended\ndata: /login/done\n\n");
    }
}

/// The cookie that is set, as it is sent back.
fn cookie(response: &Response) -> String {
    let set = response.headers.iter().filter(|(name, _)| name == "set-cookie");
    let set: Vec<_> = set.map(|(_, value)| value).filter(|it| !it.contains("Max-Age=0")).collect();
    assert_eq!(set.len(), 1, "{response:?}");
    assert!(set[0].contains("HttpOnly") && set[0].contains("SameSite=Lax"), "{set:?}");
    set[0].split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_confirmed_login_signs_in_the_browser_that_began_it() {
    within_a_minute(async {
        let rig = Rig::start(LONG).await;
        let (browser, token) = rig.begin().await;
        let page = rig.get("/login", &browser).await;
        assert!(page.body.contains(&token), "{}", page.body);
        assert_eq!(rig.get("/login/done", &browser).await.header("location"), Some("/login"));

        let persona = Persona::new("7123456789", "<b>Ada</b> & Co").username("ada");
        let (confirmed, ()) = tokio::join!(
            async { rig.emulator.confirm(&token, persona) },
            rig.ended(&browser), // which waits for it
        );
        confirmed.unwrap();

        let elsewhere = rig.get("/login/done", "login=0123456789abcdef").await;
        assert_eq!(elsewhere.header("location"), Some("/"));
        let done = rig.get("/login/done", &browser).await;
        assert_eq!(done.header("location"), Some("/"));
        let session = cookie(&done);
        let home = rig.get("/", &session).await;
        assert!(home.body.contains("&#60;b&#62;Ada&#60;/b&#62; &#38; Co"), "{}", home.body);
        assert!(home.body.contains("7123456789") && home.body.contains("@ada"));
        assert!(rig.get("/", "").await.body.contains("You are not signed in"));

        rig.request("POST", "/logout", &session).await;
        assert!(rig.get("/", &session).await.body.contains("You are not signed in"));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_login_signs_nobody_in() {
    within_a_minute(async {
        let rig = Rig::start(LONG).await;
        let (browser, token) = rig.begin().await;
        rig.emulator.cancel(&token).unwrap();
        rig.ended(&browser).await;
        let done = rig.get("/login/done", &browser).await;
        assert!(done.body.contains("You cancelled the login"), "{}", done.body);
        assert!(done.headers.iter().all(|(_, value)| !value.starts_with("session=")));
    })
    .await;
}

#[tokio::test]
async fn a_login_that_nobody_decides_expires() {
    within_a_minute(async {
        let rig = Rig::start(Duration::from_secs(1)).await;
        let (browser, _) = rig.begin().await;
        rig.ended(&browser).await;
        let done = rig.get("/login/done", &browser).await;
        assert!(done.body.contains("The login has expired"), "{}", done.body);
    })
    .await;
}

#[tokio::test]
async fn a_forged_webhook_signs_nobody_in() {
    within_a_minute(async {
        let rig = Rig::start(LONG).await;
        let (browser, token) = rig.begin().await;
        let forger = bondify_axum::Secret::new("whsec_forged").unwrap();
        let forged = Payload::confirmed().session_token(token).signed_with(&forger);
        let mut connection = Connection::open(rig.app).await.unwrap();
        let response = connection.post("/webhooks/bondify", &forged).await.unwrap();
        assert_eq!(response.status, 401);
        assert_eq!(rig.get("/login/done", &browser).await.header("location"), Some("/login"));
    })
    .await;
}
