//! The emulator over HTTP. Its deliveries reach no server, on this machine or another one.

pub(crate) mod api;
pub(crate) mod state;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bondify_emulator::{Builder, Emulator, ProjectSettings, Url};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};

/// A URL at which no server listens.
const NOWHERE: &str = "http://127.0.0.1:9/";

const TOKEN: &str = "dev_token";

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("there is a runtime")
}

fn builder() -> Builder {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
    Emulator::builder()
        .developer_token(TOKEN)
        .timeout(Duration::from_secs(1))
        .retry_base(Duration::ZERO)
        .clock(move || now)
}

fn leads_nowhere(url: &Url) -> bool {
    url.as_str().starts_with(NOWHERE)
}

/// Replaces webhook URLs at which a server may listen.
fn cut_off(emulator: &Emulator) {
    for project in emulator.projects() {
        if project.webhook_url.as_ref().is_some_and(|url| !leads_nowhere(url)) {
            let nowhere = ProjectSettings::new().webhook_url(NOWHERE);
            emulator.update_project(&project.id, nowhere).expect("the project is there");
        }
    }
}

/// A client on one connection, which it opens again when the server closes it.
#[derive(Default)]
struct Client(Option<TcpStream>);

impl Client {
    /// Sends a request. The answer must arrive and must not be 5xx.
    async fn send(&mut self, to: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) {
        let size = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
        );
        let request = [head.as_bytes(), body].concat();
        let mut connection = match self.0.take() {
            Some(connection) => connection,
            None => TcpStream::connect(to).await.expect("the emulator listens"),
        };
        connection.write_all(&request).await.expect("the request is sent");
        let mut answer = Vec::new();
        let (status, keep) = loop {
            let read = connection.read_buf(&mut answer).await.expect("the answer arrives");
            if let Some(whole) = whole(&answer) {
                break whole;
            }
            assert_ne!(read, 0, "{method} {path} is not answered");
        };
        assert!((200..500).contains(&status), "{method} {path} is answered with {status}");
        self.0 = keep.then_some(connection);
    }
}

/// The status, and whether the connection can be used again, once the answer is complete.
fn whole(answer: &[u8]) -> Option<(u16, bool)> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let size = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let size: usize = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    (answer.len() >= end + size).then_some((status, !head.contains("connection: close")))
}

/// Text, encoded as a part of a path, a query or a form.
fn encoded(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'=' | b'&' => char::from(*byte).into(),
        _ => format!("%{byte:02x}"),
    };
    bytes.iter().map(encode).collect()
}
