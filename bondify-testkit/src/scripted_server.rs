use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{connection::text, deadline::wait_until};

/// A server on loopback that answers as told, byte for byte, whatever is asked: for tests of
/// what calls Bondify's API.
///
/// The answers are given in order, and the last of them again and again. It ends when
/// dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    answers: Mutex<VecDeque<Answer>>,
    received: watch::Sender<Vec<ReceivedRequest>>,
}

/// A request that a [`ScriptedServer`] received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The method, e.g. `POST`.
    pub method: String,
    /// The path and the query, as sent.
    pub path: String,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as JSON, null if it is none.
    pub body: Value,
    /// When all of it had arrived.
    pub at: Instant,
}

impl ReceivedRequest {
    /// The value of the header called `name`, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// The first request in `bytes` and its size, if all of it has arrived.
    fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let httparse::Status::Complete(start) = head.parse(bytes).map_err(malformed)? else {
            return Ok(None);
        };
        let mut request = Self {
            method: head.method.unwrap_or_default().to_owned(),
            path: head.path.unwrap_or_default().to_owned(),
            headers: head.headers.iter().map(text).collect(),
            body: Value::Null,
            at: Instant::now(),
        };
        let size = request.header("content-length").and_then(|size| size.parse().ok()).unwrap_or(0);
        let end = start + size;
        let Some(body) = bytes.get(start..end) else {
            return Ok(None);
        };
        request.body = serde_json::from_slice(body).unwrap_or_default();
        Ok(Some((request, end)))
    }
}

/// What a [`ScriptedServer`] answers a request.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Debug)]
enum Then {
    KeepAlive,
    HangUp,
    Stall,
    Trickle,
}

impl Answer {
    /// An answer with this status and JSON, after which the connection stays open.
    pub fn json(status: u16, body: impl Into<Value>) -> Self {
        Self::text(status, &body.into().to_string())
    }

    /// An answer with this status and body, be it JSON or not.
    pub fn text(status: u16, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n", body.len());
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), then: Then::KeepAlive }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// If it is no HTTP answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let end = self.bytes.windows(2).position(|bytes| bytes == b"\r\n");
        let end = end.expect("the answer has a status line") + 2;
        self.bytes.splice(end..end, format!("{name}: {value}\r\n").into_bytes());
        self
    }

    /// These bytes, be they HTTP or not, after which the server hangs up.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::HangUp }
    }

    /// No answer at all: the server hangs up.
    pub fn none() -> Self {
        Self::bytes([])
    }

    /// This answer with half its body, after which the server hangs up.
    pub fn cut_short(self) -> Self {
        Self { then: Then::HangUp, ..self.half() }
    }

    /// This answer with half its body, after which nothing more ever comes.
    pub fn stalled(self) -> Self {
        Self { then: Then::Stall, ..self.half() }
    }

    /// This answer with half its body, after which a space comes every 10 ms, without end.
    pub fn trickling(self) -> Self {
        Self { then: Then::Trickle, ..self.half() }
    }

    fn half(mut self) -> Self {
        let head = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let body = head.map_or(0, |head| head + 4);
        self.bytes.truncate((body + self.bytes.len()) / 2);
        self
    }
}

impl ScriptedServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    ///
    /// If there are no answers, or no port.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: VecDeque<_> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a scripted server has something to answer");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let state =
            Arc::new(State { answers: Mutex::new(answers), received: watch::Sender::default() });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    /// Its URL, `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.received.borrow().clone()
    }

    /// Waits until there were that many requests.
    ///
    /// # Panics
    ///
    /// If that takes half a minute.
    pub async fn received(&self, requests: usize) {
        wait_until(&self.state.received, |received| received.len() >= requests).await;
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        // A client that hangs up in the middle is one of the things that are tested.
        connections.spawn(async move { drop(state.serve(stream).await) });
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut received = BytesMut::new();
        loop {
            if let Some((request, size)) = ReceivedRequest::parse(&received)? {
                received.advance(size);
                let answer = self.next_answer();
                self.received.send_modify(|requests| requests.push(request));
                stream.write_all(&answer.bytes).await?;
                match answer.then {
                    Then::KeepAlive => {}
                    Then::HangUp => return Ok(()),
                    Then::Stall => std::future::pending().await,
                    Then::Trickle => loop {
                        sleep(Duration::from_millis(10)).await;
                        stream.write_all(b" ").await?;
                    },
                }
            } else if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
    }

    fn next_answer(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = answers.len() == 1;
        let next = if last { answers.front().cloned() } else { answers.pop_front() };
        next.expect("the last answer stays")
    }
}
