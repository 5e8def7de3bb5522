//! Two processes of the web app, behind one address.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use bondify_axum::{Secret, login::LoginBuilder};
use bondify_redis::redis;
use bondify_testkit::{Answer, Connection, Payload, Response, ScriptedServer, within_a_minute};
use example_support::process::Example;
use serde_json::json;
use test_engines::Engine;
use tokio::{join, task::yield_now};

const ORIGIN: &str = "http://localhost:3000";
const SECRET: &str = "whsec_test";
const SESSION: &str = "sess_1";

struct Instance(Example);

impl Instance {
    fn start(api: &ScriptedServer, redis: &Engine, folder: &Path) -> Self {
        let database = format!("sqlite:{}?mode=rwc", folder.join("login.db").display());
        let variables = [
            ("ORIGIN", ORIGIN),
            ("LOGIN_COOKIE_KEY", &"k".repeat(32)),
            ("DATABASE_URL", &database),
            ("REDIS_URL", redis.url()),
            ("WEBHOOK", "1"),
            ("BONDIFY_API_URL", &api.url()),
            ("BONDIFY_PROJECT_ID", "proj_test"),
            ("BONDIFY_WEBHOOK_SECRET", SECRET),
        ];
        Self(Example::start(env!("CARGO_BIN_EXE_example-login"), &variables))
    }

    async fn request(&self, method: &str, path: &str, cookie: &str, form: &str) -> Response {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:3000\r\norigin: {ORIGIN}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
             cookie: {cookie}\r\n\r\n{form}",
            form.len(),
        );
        let mut connection = Connection::open(self.0.address()).await.unwrap();
        connection.send(request.as_bytes()).await.unwrap();
        connection.response().await.unwrap()
    }

    /// Delivers the webhook of the confirmed login.
    async fn webhook(&self) -> u16 {
        let request = Payload::confirmed().session_token(SESSION).signed_with(&secret());
        let mut connection = Connection::open(self.0.address()).await.unwrap();
        connection.post("/webhooks/bondify", &request).await.unwrap().status
    }
}

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

/// The cookie that is set, as it is sent back.
fn cookie(response: &Response) -> String {
    response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// Waits until an instance listens to the wake-ups.
async fn until_subscribed(redis: &Engine) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut ask = redis::cmd("PUBSUB");
    ask.arg("NUMSUB").arg("bondify:wakeups");
    while ask.query_async::<(String, usize)>(&mut connection).await.unwrap().1 == 0 {
        yield_now().await;
    }
}

/// The page waits at one, the other gets the webhook, and then the browser's request to finish.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_at_one_wakes_the_browser_of_the_other() {
    let Some(redis) = Engine::redis() else { return };
    within_a_minute(async {
        let proof = Payload::proof().session_token(SESSION).proof_signed_with(&secret());
        let confirmed = json!({
            "status": "confirmed", "telegram_id": "42", "telegram_name": "Ada",
            "telegram_username": null, "proof": proof,
        });
        let api = ScriptedServer::start([
            Answer::json(200, json!({"session_token": SESSION, "deeplink": "https://t.me/b"})),
            Answer::json(200, json!({"status": "pending"})),
            Answer::json(200, confirmed),
        ])
        .await;
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| Instance::start(&api, &redis, folder.path()));

        let login = cookie(&one.request("POST", "/login", "", "").await);
        let webhook = async {
            api.received(2).await;
            until_subscribed(&redis).await;
            other.webhook().await
        };
        let events = one.request("GET", "/login/events", &login, "");
        let (events, status) = join!(events, webhook);
        assert_eq!(status, 204);
        assert!(events.body.contains(r#""state":"confirmed""#), "{events:?}");
        let [_begin, first, second] = &api.requests()[..] else { panic!("{:?}", api.requests()) };
        let pause = second.at - first.at;
        assert!(pause < LoginBuilder::WEBHOOK_POLL_INTERVAL, "it was not woken for {pause:?}");

        let form = format!("proof={proof}");
        let done = other.request("POST", "/login/finish", &login, &form).await;
        assert_eq!((done.status, done.header("location")), (303, Some("/")), "{done:?}");
        let session = done.headers.iter().find(|(_, value)| value.starts_with("session=")).unwrap();
        let session = session.1.split(';').next().unwrap();
        assert!(one.request("GET", "/", session, "").await.body.contains("Sign out"));
        assert_eq!(one.request("POST", "/login/finish", &login, &form).await.status, 409);
    })
    .await;
}
