//! The web app and a local Bondify, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use bondify_emulator::Persona;
use bondify_testkit::{Connection, Response, cookies, engine_url, within_a_minute};

use crate::rig::{LONG, Rig};

impl Rig {
    async fn request(
        &self,
        method: &str,
        path: &str,
        cookie: impl AsRef<[u8]>,
        form: &str,
    ) -> Response {
        let start = format!(
            "{method} {path} HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {1}\r\ncookie: ",
            self.app,
            form.len(),
        );
        let request = [start.as_bytes(), cookie.as_ref(), b"\r\n\r\n", form.as_bytes()].concat();
        let mut connection = Connection::open(self.app).await.unwrap();
        connection.send(&request).await.unwrap();
        connection.response().await.unwrap()
    }

    async fn home(&self, cookie: impl AsRef<[u8]>) -> String {
        self.request("GET", "/", cookie, "").await.body
    }

    /// Signs the persona in, and returns the cookie of the session.
    async fn sign_in(&self, persona: Persona) -> String {
        let begun = self.request("POST", "/login", "", "").await;
        let login = cookie(&begun, "bondify-login-");
        self.emulator.confirm(&self.emulator.sessions()[0].token, persona).unwrap();
        let events = self.request("GET", "/login/events", &login, "").await;
        let proof = events.body.split_once("\"proof\":\"").unwrap().1.split('"').next().unwrap();
        let done = self.request("POST", "/login/finish", &login, &format!("proof={proof}")).await;
        assert_eq!((done.status, done.header("location")), (303, Some("/")), "{done:?}");
        cookie(&done, "session=")
    }
}

/// The cookie that is set and starts like this, as it is sent back.
fn cookie(response: &Response, start: &str) -> String {
    let mut set = response.headers.iter().filter(|(header, _)| header == "set-cookie");
    let (_, set) = set.find(|(_, set)| set.starts_with(start)).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_confirmed_login_signs_in_and_out() {
    within_a_minute(async {
        let rig = Rig::start(LONG).await;
        assert!(rig.home("").await.contains("You are not signed in"));
        let persona = Persona::new("7123456789", "<b>Ada</b> & Co").username("ada");
        let session = rig.sign_in(persona).await;
        let home = rig.home(&session).await;
        assert!(home.contains("&#60;b&#62;Ada&#60;/b&#62; &#38; Co"), "{home}");
        assert!(home.contains("7123456789") && home.contains("@ada"));

        rig.request("POST", "/logout", &session, "").await;
        assert!(rig.home(&session).await.contains("You are not signed in"));
    })
    .await;
}

#[tokio::test]
async fn cookies_of_other_applications_sign_nobody_out() {
    within_a_minute(async {
        let rig = Rig::start(LONG).await;
        let session = rig.sign_in(Persona::new("42", "Ada")).await;
        for foreign in cookies::foreign() {
            let cookies = [&*foreign, b"; ", session.as_bytes(), b"; ", &foreign].concat();
            let home = rig.home(cookies).await;
            assert!(home.contains("Ada"), "{}: {home}", foreign.escape_ascii());
        }
        for similar in cookies::lookalikes("session", session.split_once('=').unwrap().1) {
            let home = rig.home(&similar).await;
            assert!(home.contains("You are not signed in"), "{}", similar.escape_ascii());
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_who_signs_in_again_is_the_same_user_with_a_new_session() {
    within_a_minute(async {
        signs_in_again(&Rig::start(LONG).await).await;
        if let Some(url) = engine_url("BONDIFY_TEST_POSTGRES_URL") {
            signs_in_again(&Rig::start_on(&url, LONG).await).await;
        }
    })
    .await;
}

async fn signs_in_again(rig: &Rig) {
    let first = rig.sign_in(Persona::new("42", "Ada")).await;
    let second = rig.sign_in(Persona::new("42", "Ada Lovelace")).await;
    assert_ne!(first, second);
    for session in [first, second] {
        assert!(rig.home(&session).await.contains("Ada Lovelace"));
    }
}
