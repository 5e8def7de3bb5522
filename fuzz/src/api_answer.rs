use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bondify_client::{Client, Days, Developer, Error, ProjectSettings, SessionStatus, Sessions};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::{json::mended, shape};

const FIELDS: &[&str] = &[
    "status",
    "session_token",
    "deeplink",
    "expires_at",
    "telegram_id",
    "telegram_name",
    "telegram_username",
    "telegram_phone",
    "proof",
    "confirmed_at",
    "cancelled_at",
    "created_at",
    "id",
    "project_id",
    "project_name",
    "name",
    "active",
    "is_active",
    "webhook_url",
    "secret_key",
    "webhook_secret",
    "secret",
    "developer",
    "developer_id",
    "email",
    "plan",
    "mau",
    "current",
    "limit",
    "over",
    "error",
    "code",
    "projects",
    "sessions",
    "daily",
    "funnel",
    "new",
];

/// The maximum size of an error text in bytes: 64 characters of the answer, each escaped, twice.
const ERROR_LIMIT: usize = 2000;

/// A call ends without a panic for any answer of a server. Its error is bounded, and its value contains only
/// what the answer contains.
///
/// The first byte chooses the call, two are the status, one chooses the framing, and the rest is
/// the body.
pub fn api_answer(data: &[u8]) {
    let [call, high, low, framing, body @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 900;
    let body = shape::body(body, FIELDS);
    BENCH.with(|bench| bench.run(*call, status, *framing, &body));
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// A server that sends the current answer, and its client, on one thread.
struct Bench {
    runtime: Runtime,
    answer: Arc<Mutex<Answer>>,
    sessions: Sessions,
    developer: Developer,
}

#[derive(Clone, Default)]
struct Answer {
    bytes: Vec<u8>,
    hang_up: bool,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("there is a runtime");
        let answer = Arc::<Mutex<Answer>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there is a port");
        let url = format!("http://{}", listener.local_addr().expect("is bound"));
        let shared = Arc::clone(&answer);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        let client = Client::builder().base_url(url).timeout(Duration::from_secs(5));
        let client = client.build().expect("is a client");
        let developer = client.developer("dev_token").expect("is a token");
        Self { runtime, answer, sessions: client.sessions("proj_1"), developer }
    }

    fn run(&self, call: u8, status: u16, framing: u8, body: &[u8]) {
        let answer = framed(status, framing, body);
        let is_whole = !answer.hang_up;
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        let json = serde_json::from_slice(body).ok();
        let result = self.runtime.block_on(self.call(call, json.as_ref()));
        if let Err(error) = &result {
            let shown = format!("{error} {error:?}");
            assert!(shown.len() < ERROR_LIMIT, "{} bytes of error", shown.len());
        }
        if is_whole {
            let refused = (!(200..300).contains(&status)).then_some(status);
            match result {
                // A refusal with a code can be the outcome of a session.
                Ok(()) => assert!(refused.is_none() || call % 12 < 2),
                Err(error) => assert_eq!(error.status(), refused, "{error:?}"),
            }
        }
    }

    /// Makes a call, and compares what it returns with the answer's JSON.
    async fn call(&self, call: u8, json: Option<&Value>) -> Result<(), Error> {
        let (sessions, developer) = (&self.sessions, &self.developer);
        match call % 12 {
            0 | 1 => {
                let status = sessions.status("sess_1").await?;
                if let Some(json) = json {
                    check_status(&status, json);
                }
            }
            2 => {
                let session = sessions.generate().await?;
                if let Some(json) = json {
                    assert!(is_read(&json["session_token"], session.session_token()));
                    assert!(is_read(&json["deeplink"], session.deeplink()));
                }
            }
            3 => drop(developer.me().await?),
            4 => {
                let projects = developer.projects().await?;
                if let Some(json) = json {
                    // Of a repeated field, the client reads each and `json` has the last.
                    let listed = projects.records.len() + projects.unreadable as usize;
                    assert!(json["projects"].as_array().is_some_and(|list| list.len() <= listed));
                }
            }
            5 => drop(developer.create_project("Shop", ProjectSettings::new()).await?),
            6 => developer.update_project("proj_1", ProjectSettings::new()).await?,
            7 => developer.delete_project("proj_1").await?,
            8 => drop(developer.regenerate("proj_1").await?),
            9 => {
                let secret = developer.webhook_secret("proj_1").await?;
                if let Some(json) = json {
                    let names = ["webhook_secret", "secret"];
                    assert!(names.iter().any(|name| is_read(&json[name], secret.expose())));
                }
            }
            10 => {
                for session in developer.sessions().await?.records {
                    let is_confirmed = matches!(session.status, SessionStatus::Confirmed(_));
                    assert!(!is_confirmed || json.is_none_or(is_object));
                }
            }
            _ => drop(developer.analytics(Days::Seven, Some("proj_1")).await?),
        }
        Ok(())
    }
}

/// Whether the text was read from this value, a string or a whole number.
fn is_read(json: &Value, text: &str) -> bool {
    json == text || json.as_u64().is_some_and(|number| number.to_string() == text)
}

fn is_object(json: &Value) -> bool {
    json.is_object()
}

fn check_status(status: &SessionStatus, json: &Value) {
    let (name, user) = match status {
        SessionStatus::Pending => ("pending", None),
        SessionStatus::Confirmed(user) => ("confirmed", Some(user)),
        SessionStatus::Cancelled { .. } => ("cancelled", None),
        SessionStatus::Expired => ("expired", None),
        SessionStatus::Used(user) => ("used", user.as_ref()),
        other => panic!("{other:?}"),
    };
    // A proof or a code can take the place of the status.
    if json["status"].is_string() && json["status"] != "" {
        assert_eq!(json["status"], name);
    }
    if let Some(user) = user {
        let id = &json["telegram_id"];
        let number = id.as_u64().map(|id| id.to_string());
        let (id, name) = (id.as_str().or(number.as_deref()), json["telegram_name"].as_str());
        assert_eq!(id, Some(user.user().id().as_str()));
        assert_eq!(name.map(mended), Some(mended(user.user().name())));
        assert!(is_read(&json["proof"], user.proof()));
    }
}

/// An answer with this body, or bytes that are almost an answer. The connection ends after bytes that may
/// confuse it.
fn framed(status: u16, framing: u8, body: &[u8]) -> Answer {
    let has_no_body = status < 200 || matches!(status, 204 | 304);
    let head = format!("HTTP/1.1 {status} Status\r\n");
    let size = body.len();
    let (head, body, hang_up) = match framing {
        1 => (format!("{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n"), body, true),
        2 => (format!("{head}Connection: close\r\n\r\n"), body, true),
        3 => (format!("{head}Content-Length: {}\r\n\r\n", size + 1), body, true),
        4 => (String::new(), body, true),
        5 => (format!("{head}Retry-After: "), body, true),
        _ if has_no_body => (format!("{head}\r\n"), &body[..0], true),
        _ => {
            (format!("{head}Retry-After: {framing}\r\nContent-Length: {size}\r\n\r\n"), body, false)
        }
    };
    let mut bytes = [head.as_bytes(), body].concat();
    match framing {
        1 => bytes.extend_from_slice(b"\r\n0\r\n\r\n"),
        5 => bytes.extend_from_slice(b"\r\nContent-Length: 2\r\n\r\n{}"),
        _ => {}
    }
    Answer { bytes, hang_up }
}

/// Sends the answer to every request on a connection.
async fn serve(mut stream: TcpStream, answer: &Mutex<Answer>) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        while !is_request(&received) {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        received.clear();
        let Answer { bytes, hang_up } =
            answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stream.write_all(&bytes).await?;
        if hang_up {
            return stream.shutdown().await;
        }
    }
}

/// Whether a request is complete.
fn is_request(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let size = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= size.and_then(|size| size.parse().ok()).unwrap_or(0)
}
