//! The client against a scripted server on loopback.

mod contract;
mod developer;
mod one_login;
mod polling;
mod sessions;

use std::time::{Duration, SystemTime};

use bondify_client::{Client, ClientBuilder, Session, Sessions};
use bondify_testkit::{Answer, ScriptedServer};
use serde_json::json;

pub(crate) const PROJECT: &str = "proj_abc123";
pub(crate) const TOKEN: &str = "sess_abc123";

/// A client of the server that polls at the minimum interval.
pub(crate) fn client(server: &ScriptedServer) -> Client {
    set_up(server).build().expect("these settings make sense")
}

pub(crate) fn set_up(server: &ScriptedServer) -> ClientBuilder {
    Client::builder().base_url(server.url()).poll_interval(ClientBuilder::MIN_POLL_INTERVAL)
}

/// The response of `generate` for a session that expires after this time, from a server whose
/// clock is an hour behind this machine's.
pub(crate) fn generated(expires_in: Duration) -> Answer {
    let date = SystemTime::now() - Duration::from_secs(60 * 60);
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).expect("the time is after 1970");
    let whole_second = Duration::from_secs(since_epoch.as_secs());
    let answer = Answer::json(
        200,
        json!({
            "session_token": TOKEN,
            "deeplink": "https://t.me/bondify_bot?start=sess_abc123",
            "expires_at": (whole_second + expires_in).as_millis() as u64,
        }),
    );
    answer.header("Date", &httpdate::fmt_http_date(date))
}

pub(crate) fn status(status: &str) -> Answer {
    Answer::json(200, json!({ "status": status }))
}

pub(crate) fn confirmed() -> Answer {
    Answer::json(
        200,
        json!({
            "status": "confirmed",
            "telegram_id": "7123456789",
            "telegram_name": "Ada Lovelace",
            "telegram_username": "ada",
            "proof": "header.claims.signature",
            "confirmed_at": 1_700_000_000_123_u64,
        }),
    )
}

/// A server that generates a session and then sends these answers, and that session.
pub(crate) async fn session(
    expires_in: Duration,
    answers: impl IntoIterator<Item = Answer>,
) -> (ScriptedServer, Sessions, Session) {
    let answers = [generated(expires_in)].into_iter().chain(answers);
    let server = ScriptedServer::start(answers).await;
    let sessions = client(&server).sessions(PROJECT);
    let session = sessions.generate().await.expect("the first answer is a session");
    (server, sessions, session)
}
