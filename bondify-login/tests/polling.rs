//! The requests to Bondify's API, on a scripted server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bondify_client::Client;
use bondify_core::{Bondify, MemoryWakeups, Secret, Wakeups};
use bondify_login::{
    Login, LoginBuilder,
    adapter::{self, Body},
};
use bondify_redis::{RedisWakeups, redis};
use bondify_sqlx::PgWakeups;
use bondify_testkit::{Answer, Payload, ScriptedServer, engine_url};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream::BoxStream,
};
use http::{Request, Response, header::SET_COOKIE};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracing::subscriber::{DefaultGuard, set_default};

const SECRET: &str = "whsec_test";
const TOKEN: &str = "sess_1";

/// A login that has begun, on an API that sends these answers.
struct Rig {
    api: ScriptedServer,
    login: Login,
    cookie: String,
}

impl Rig {
    async fn begin(interval: Duration, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::begin_with(interval, answers, |login| login).await
    }

    async fn begin_with(
        interval: Duration,
        answers: impl IntoIterator<Item = Answer>,
        set: impl FnOnce(LoginBuilder) -> LoginBuilder,
    ) -> Self {
        let begun = json!({"session_token": TOKEN, "deeplink": "https://t.me/b?start=sess_1"});
        let answers = [Answer::json(200, begun)].into_iter().chain(answers);
        let api = ScriptedServer::start(answers).await;
        let bondify = Bondify::builder(Secret::new(SECRET).unwrap()).build().unwrap();
        let client = Client::builder().base_url(api.url()).poll_interval(interval);
        let sessions = client.build().unwrap().sessions("proj_test");
        let login = Login::builder(sessions, &bondify);
        let login = login.origin("https://shop.example").cookie_key([7; 32]);
        let login = set(login).build().unwrap();
        let mut rig = Self { api, login, cookie: String::new() };
        let begun = adapter::begin(&rig.login, &rig.request("")).await;
        let cookie = begun.headers()[SET_COOKIE].to_str().unwrap();
        rig.cookie = cookie.split(';').next().unwrap().to_owned();
        rig
    }

    fn request(&self, form: &'static str) -> Request<Bytes> {
        self.request_to("/login", form)
    }

    fn request_to(&self, path: &str, form: &'static str) -> Request<Bytes> {
        let request = Request::post(path).header("cookie", &self.cookie);
        request.header("origin", "https://shop.example").body(Bytes::from(form)).unwrap()
    }

    /// The decision that a connection receives.
    async fn decision(&self) -> Value {
        let mut events = self.events().await;
        while let Some(frame) = events.next().await {
            if let Some(data) = frame.strip_prefix(b"event: state\ndata: ") {
                return serde_json::from_slice(data).unwrap();
            }
        }
        panic!("no decision")
    }

    async fn events(&self) -> BoxStream<'static, Bytes> {
        let request = self.request_to("/login/events", "");
        let events = adapter::events(&self.login, &request).await.into_body();
        let Body::Events(events) = events else { panic!("no events") };
        events
    }

    async fn page(&self) -> String {
        let page = adapter::page(&self.login, &self.request("")).await.into_body();
        let Body::Full(page) = page else { panic!("no page") };
        String::from_utf8(page.to_vec()).unwrap()
    }

    fn polls(&self) -> usize {
        self.api.requests().len() - 1
    }

    async fn polled(&self, times: usize) {
        self.api.received(1 + times).await;
    }

    /// Reports the confirmation as the handler of the webhook does.
    fn notify(&self) {
        let secret = Secret::new(SECRET).unwrap();
        let event = Payload::confirmed().session_token(TOKEN);
        self.login.notify(&event.signed_with(&secret).verified_by(&secret).unwrap());
    }

    /// The decision, with a webhook after the first poll.
    async fn decision_with_webhook(&self) -> Value {
        let webhook = async {
            self.polled(1).await;
            self.notify();
        };
        join(self.decision(), webhook).await.0
    }
}

fn confirmed() -> Answer {
    let mut user = user_with_proof();
    user["status"] = "confirmed".into();
    Answer::json(200, user)
}

fn user_with_proof() -> Value {
    let secret = Secret::new(SECRET).unwrap();
    json!({
        "telegram_id": "42", "telegram_name": "Ada", "telegram_username": null,
        "proof": Payload::proof().session_token(TOKEN).proof_signed_with(&secret),
    })
}

fn status(status: &str) -> Answer {
    Answer::json(200, json!({"status": status}))
}

/// Less than a slow poll takes, which would find the answer too.
async fn within_seconds(test: impl Future<Output = ()>) {
    timeout(Duration::from_secs(10), test).await.expect("it ends within seconds");
}

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn the_tabs_of_a_login_share_one_poll() {
    within_seconds(async {
        let rig = Rig::begin(SHORT, [status("pending"), confirmed()]).await;
        let (one, other) = join(rig.decision(), rig.decision()).await;
        assert_eq!((&one["state"], &one), (&"confirmed".into(), &other));
        assert_eq!(rig.polls(), 2);
    })
    .await;
}

/// The poll interval is an hour, so only the webhook can cause the answer.
#[tokio::test]
async fn a_webhook_wakes_the_browser() {
    within_seconds(async {
        let rig = Rig::begin(LONG, [status("pending"), confirmed()]).await;
        assert_eq!(rig.decision_with_webhook().await["state"], "confirmed");
        assert_eq!(rig.polls(), 2);
    })
    .await;
}

#[tokio::test]
async fn where_webhooks_arrive_a_waiting_login_polls_slowly() {
    within_seconds(async {
        let polling = Rig::begin(SHORT, [status("pending")]).await;
        let slow = Rig::begin_with(SHORT, [status("pending")], |it| it.webhooks(true)).await;
        tokio::select! {
            _ = join(polling.decision(), slow.decision()) => panic!("nobody decided"),
            _ = join(polling.polled(4), slow.polled(1)) => {}
        }
        assert_eq!(slow.polls(), 1);
    })
    .await;
}

/// The poll interval is an hour, and the webhook arrives at another instance.
async fn a_webhook_wakes_the_browser_of_another_instance(wakeups: [impl Wakeups; 2]) {
    within_seconds(async {
        let [of_one, of_other] = wakeups;
        let answers = [status("pending"), confirmed()];
        let waiting = Rig::begin_with(LONG, answers, |it| it.wakeups(of_one)).await;
        let other = Rig::begin_with(LONG, [], |it| it.wakeups(of_other)).await;
        let webhooks = async {
            waiting.polled(1).await;
            loop {
                other.notify();
                sleep(Duration::from_millis(50)).await; // It may not be subscribed yet.
            }
        };
        tokio::select! {
            decision = waiting.decision() => assert_eq!(decision["state"], "confirmed"),
            () = webhooks => {}
        }
        assert_eq!(waiting.polls(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_wakes_the_browser_of_another_instance_in_memory() {
    let wakeups = MemoryWakeups::new();
    a_webhook_wakes_the_browser_of_another_instance([wakeups.clone(), wakeups]).await;
}

#[tokio::test]
async fn a_webhook_wakes_the_browser_of_another_instance_by_redis() {
    let Some(url) = engine_url("BONDIFY_TEST_REDIS_URL") else { return };
    let wakeups = || {
        let client = redis::Client::open(&*url).unwrap();
        RedisWakeups::open(client).prefix(format!("login-{}:", std::process::id()))
    };
    a_webhook_wakes_the_browser_of_another_instance([wakeups(), wakeups()]).await;
}

#[tokio::test]
async fn a_webhook_wakes_the_browser_of_another_instance_by_postgresql() {
    let Some(url) = engine_url("BONDIFY_TEST_POSTGRES_URL") else { return };
    let wakeups = async || {
        let wakeups = PgWakeups::connect(&url).await.unwrap();
        wakeups.channel(format!("login_{}", std::process::id()))
    };
    a_webhook_wakes_the_browser_of_another_instance([wakeups().await, wakeups().await]).await;
}

/// The API of the other instance still answers "confirmed".
#[tokio::test]
async fn a_login_that_another_instance_finished_is_shown_as_used() {
    within_seconds(async {
        let wakeups = MemoryWakeups::new();
        let (of_one, of_other) = (wakeups.clone(), wakeups.clone());
        let finishing = Rig::begin_with(LONG, [confirmed()], |it| it.wakeups(of_one)).await;
        let proof = finishing.decision().await["proof"].as_str().unwrap().to_owned();
        let other = Rig::begin_with(LONG, [confirmed()], |it| it.wakeups(of_other)).await;
        assert!(other.page().await.contains("You confirmed as"));
        while !format!("{wakeups:?}").contains("listeners: 2") {
            sleep(Duration::from_millis(5)).await;
        }
        let form: &'static str = format!("proof={proof}").leak();
        let request = finishing.request_to("/login/finish", form);
        let finish = adapter::finish(&finishing.login, &request).await.unwrap();
        finish.answer(Response::new(Bytes::new())).await;
        while !other.page().await.contains("This login is finished") {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// With a slow poll every 15 seconds, only those that follow the webhook can be this fast.
#[tokio::test]
async fn a_webhook_that_is_faster_than_the_api_is_followed_by_fast_polls() {
    within_seconds(async {
        let answers = [status("pending"), status("pending"), status("pending"), confirmed()];
        let rig = Rig::begin_with(SHORT, answers, |it| it.webhooks(true)).await;
        assert_eq!(rig.decision_with_webhook().await["state"], "confirmed");
        assert_eq!(rig.polls(), 4);
    })
    .await;
}

/// Bondify hands the answer out once, here to the first poll.
#[tokio::test]
async fn a_webhook_does_not_cancel_the_poll_in_flight() {
    within_seconds(async {
        let slowly = Answer::text(200, &format!("{:150}", r#"{"status":"cancelled"}"#));
        let rig = Rig::begin(LONG, [slowly.trickling(), status("used")]).await;
        assert_eq!(rig.decision_with_webhook().await["state"], "cancelled");
        assert_eq!(rig.polls(), 2);
    })
    .await;
}

/// Bondify sends the proof once. The browser keeps it, not this process.
#[tokio::test]
async fn a_login_is_finished_without_another_request() {
    within_seconds(async {
        let rig = Rig::begin(SHORT, [confirmed()]).await;
        let proof = rig.decision().await["proof"].as_str().unwrap().to_owned();
        let form: &'static str = format!("proof={proof}").leak();
        let request = rig.request_to("/login/finish", form);
        let finishing = adapter::finish(&rig.login, &request).await.unwrap();
        assert_eq!(finishing.signed_in().user.id().as_str(), "123456789");
        assert_eq!(finishing.signed_in().return_to, "/");
        assert_eq!(rig.polls(), 1);
    })
    .await;
}

/// The source of an official SDK reads such an answer, and such codes.
#[tokio::test]
async fn a_decision_without_a_status_is_shown() {
    within_seconds(async {
        let rig = Rig::begin(SHORT, [Answer::json(200, user_with_proof())]).await;
        assert_eq!(rig.decision().await["state"], "confirmed");
        for (code, state) in [("SESSION_EXPIRED", "expired"), ("SESSION_CANCELLED", "cancelled")] {
            let answer = json!({"error": "the session is over", "code": code});
            let rig = Rig::begin(SHORT, [Answer::json(410, answer)]).await;
            assert_eq!(rig.decision().await, json!({"state": state}));
        }
    })
    .await;
}

#[tokio::test]
async fn a_login_that_was_completed_before_is_shown_as_used() {
    within_seconds(async {
        let rig = Rig::begin(SHORT, [status("used")]).await;
        assert_eq!(rig.decision().await, json!({"state": "used"}));
    })
    .await;
}

#[tokio::test]
async fn a_proof_of_another_secret_or_login_is_shown_as_unavailable() {
    within_seconds(async {
        for (secret, token) in [("whsec_other", TOKEN), (SECRET, "sess_other")] {
            let secret = Secret::new(secret).unwrap();
            let proof = Payload::proof().session_token(token).proof_signed_with(&secret);
            let forged = json!({
                "status": "confirmed", "telegram_id": "42", "telegram_name": "Ada",
                "telegram_username": null, "proof": proof,
            });
            let rig = Rig::begin(SHORT, [Answer::json(200, forged)]).await;
            assert_eq!(rig.decision().await, json!({"state": "unavailable"}));
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_waits_while_the_api_does_not_answer() {
    within_seconds(async {
        let rig = Rig::begin(SHORT, [Answer::none(), Answer::json(404, json!({}))]).await;
        assert!(rig.page().await.contains("Waiting for you to confirm"));
        while !rig.page().await.contains("not possible right now") {
            sleep(Duration::from_millis(50)).await; // until the answers are no longer shared
        }
    })
    .await;
}

#[tokio::test]
async fn requests_within_a_second_share_one_call_of_the_api() {
    within_seconds(async {
        let slowly = Answer::text(200, &format!("{:150}", r#"{"status":"pending"}"#)).trickling();
        let rig = Rig::begin(LONG, [slowly]).await;
        let mut events: Vec<_> = Vec::new();
        for _ in 0..50 {
            let mut waiting = rig.events().await;
            waiting.next().await.unwrap();
            events.push(waiting);
        }
        let pages = join_all((0..50).map(|_| rig.page())).await;
        assert!(pages.iter().all(|page| page.contains("Waiting for you to confirm")));
        assert_eq!(rig.polls(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_does_not_read_loses_its_place() {
    within_seconds(async {
        let answers = [status("pending"), confirmed()];
        let rig = Rig::begin_with(SHORT, answers, |it| it.max_waiting(1)).await;
        let unread = rig.events().await;
        assert_eq!(rig.decision().await["state"], "confirmed", "the newer one has the place");
        let frames = unread.map(|frame| String::from_utf8(frame.to_vec()).unwrap());
        let frames: String = frames.collect().await;
        assert!(!frames.contains("event: state"), "{frames}");
    })
    .await;
}

#[tokio::test]
async fn a_place_is_freed_when_its_login_expires_although_its_stream_is_not_read() {
    within_seconds(async {
        let ahead = Arc::new(AtomicU64::new(0));
        let clock = {
            let ahead = ahead.clone();
            move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed))
        };
        let rig = Rig::begin_with(SHORT, [status("pending")], |it| it.clock(clock)).await;
        let unread = rig.events().await;
        assert!(format!("{:?}", rig.login).contains("waiting: 1"), "{:?}", rig.login);
        ahead.store(60 * 60, Ordering::Relaxed);
        assert!(format!("{:?}", rig.login).contains("waiting: 0"), "{:?}", rig.login);
        drop(unread);
    })
    .await;
}

#[tokio::test]
async fn the_log_distinguishes_an_unreachable_api_from_one_that_refuses() {
    within_seconds(async {
        let (log, _guard) = Log::capture();
        let rig = Rig::begin(SHORT, [Answer::none(), Answer::json(404, json!({}))]).await;
        for expected in ["Bondify's API could not be reached", "Bondify's API refused a login"] {
            assert!(!log.text().contains(expected), "{}", log.text());
            let refused = adapter::begin(&rig.login, &rig.request("")).await;
            assert_eq!(refused.status(), 502);
            assert!(log.text().contains(expected), "{}", log.text());
        }
    })
    .await;
}

#[tokio::test]
async fn the_log_names_a_clock_that_is_wrong() {
    within_seconds(async {
        let (log, _guard) = Log::capture();
        let begun = json!({"session_token": TOKEN, "deeplink": "https://t.me/b"});
        let begun = Answer::json(200, begun).header("date", "Mon, 30 Nov 2020 12:00:00 GMT");
        let rig = Rig::begin(SHORT, [begun]).await;
        let refused = adapter::begin(&rig.login, &rig.request("")).await;
        assert_eq!(refused.status(), 502);
        let text = log.text();
        assert!(
            text.contains("the clock of this server differs") && text.contains("ahead"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_log_names_both_origins_of_a_refused_form_once_a_minute() {
    within_seconds(async {
        let (log, _guard) = Log::capture();
        let rig = Rig::begin(SHORT, []).await;
        for _ in 0..3 {
            let mut form = rig.request("");
            form.headers_mut().insert("origin", "http://www.shop.example".parse().unwrap());
            assert_eq!(adapter::begin(&rig.login, &form).await.status(), 403);
        }
        let text = log.text();
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
        let [warning] = warnings[..] else { panic!("{text}") };
        for origin in ["http://www.shop.example", "https://shop.example"] {
            assert!(warning.contains(origin), "{warning}");
        }
    })
    .await;
}

/// The lines that are logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_link_that_runs_a_script_is_not_shown() {
    within_seconds(async {
        let begun = json!({"session_token": TOKEN, "deeplink": "javascript:alert(1)"});
        let rig = Rig::begin(SHORT, [Answer::json(200, begun)]).await;
        let refused = adapter::begin(&rig.login, &rig.request("")).await;
        assert_eq!(refused.status(), 502);
    })
    .await;
}
