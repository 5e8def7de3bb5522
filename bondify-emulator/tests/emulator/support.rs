use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bondify_emulator::{Builder, Emulator, Project, ProjectSettings};
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The time-out of every wait in a test.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The project of most tests.
pub(crate) const SHOP: &str = "proj_shop";

/// Starts an emulator with the project [`SHOP`], which the public API serves.
pub(crate) async fn start(builder: Builder, shop: ProjectSettings) -> Emulator {
    builder.project(shop.id(SHOP).public_access(true)).start().await.unwrap()
}

pub(crate) async fn plain() -> Emulator {
    start(Emulator::builder(), ProjectSettings::new()).await
}

pub(crate) fn shop(emulator: &Emulator) -> Arc<Project> {
    emulator.project(SHOP).unwrap()
}

/// The answer of an HTTP API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    /// Status and code of an error.
    pub(crate) fn error(&self) -> (u16, &str) {
        assert!(self.json["error"].is_string(), "{self:?}");
        (self.status, self.json["code"].as_str().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn request(emulator: &Emulator, method: &str, path: &str) -> RequestBuilder {
    let method: Method = method.parse().unwrap();
    let url = format!("{}{path}", emulator.url());
    Client::new().request(method, url).timeout(TEST_TIMEOUT)
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answer { status, headers, json }
}

pub(crate) async fn post(emulator: &Emulator, path: &str, json: Value) -> Answer {
    answer(request(emulator, "POST", path).body(json.to_string())).await
}

pub(crate) async fn get(emulator: &Emulator, path: &str) -> Answer {
    answer(request(emulator, "GET", path)).await
}

/// A clock that a test sets.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    pub(crate) fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        Self(Arc::new(Mutex::new(start)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    pub(crate) fn of(&self, builder: Builder) -> Builder {
        let clock = self.clone();
        builder.clock(move || clock.now())
    }
}

/// A receiver that shows a test every byte.
pub(crate) struct RawReceiver(TcpListener);

impl RawReceiver {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?from=bondify", self.0.local_addr().unwrap())
    }

    pub(crate) async fn accept(&self) -> RawRequest {
        let accepted = timeout(TEST_TIMEOUT, self.0.accept()).await;
        let (mut stream, _) = accepted.expect("a delivery within a minute").unwrap();
        let mut bytes = Vec::new();
        while !is_complete(&bytes) && stream.read_buf(&mut bytes).await.unwrap() > 0 {}
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let (head, body) = (head.to_owned(), body.to_owned());
        RawRequest { stream, head, body }
    }

    /// Answers the next request.
    pub(crate) async fn answer(&self, response: &str) -> RawRequest {
        let mut request = self.accept().await;
        request.stream.write_all(response.as_bytes()).await.unwrap();
        request.stream.shutdown().await.unwrap();
        request
    }

    /// Answers the next request with a status and no body.
    pub(crate) async fn answer_status(&self, status: u16) -> RawRequest {
        self.answer(&format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n")).await
    }
}

pub(crate) struct RawRequest {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
    pub(crate) body: String,
}

fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}
