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
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    connection::{header, text},
    deadline::wait_until,
};

/// A server on loopback that sends the given answers, byte for byte, for tests of clients of Bondify's
/// API.
///
/// It sends the answers in order, to any request, and repeats the last one. Dropping it ends the server.
///
/// ```
/// use bondify_testkit::{Answer, ScriptedServer};
/// use serde_json::json;
///
/// # use bondify_testkit::Connection;
/// # async fn poll_twice(url: String) -> Result<(), Box<dyn std::error::Error>> {
/// #     let mut api = Connection::open(url.trim_start_matches("http://").parse()?).await?;
/// #     for _ in 0..2 {
/// #         api.send(b"POST /api/v1/verify/public HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await?;
/// #         api.response().await?;
/// #     }
/// #     Ok(())
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = ScriptedServer::start([
///     Answer::json(429, json!({"code": "RATE_LIMITED"})).header("retry-after", "1"),
///     Answer::json(200, json!({"status": "pending"})),
/// ])
/// .await;
/// poll_twice(server.url()).await?; // the code under test
/// assert_eq!(server.requests()[1].path, "/api/v1/verify/public");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    answers: Mutex<VecDeque<Answer>>,
    received: watch::Sender<Vec<ReceivedRequest>>,
}

/// A request that a [`ScriptedServer`] received.
///
/// ```
/// use bondify_testkit::ReceivedRequest;
///
/// /// A call of the developer API carries the token, and no body.
/// fn assert_authorized(request: &ReceivedRequest) {
///     assert_eq!((&*request.method, &*request.path), ("GET", "/api/v1/developer/me"));
///     assert_eq!(request.header("authorization"), Some("Bearer dev_token"));
///     assert!(request.body.is_null());
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The method, e.g. `POST`.
    pub method: String,
    /// The path and the query, as the client sent them.
    pub path: String,
    /// The headers: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as JSON. Null if it is not JSON.
    pub body: Value,
    /// The time at which the whole request had arrived.
    pub at: Instant,
}

impl ReceivedRequest {
    /// Returns the value of a header. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Parses the first request in `bytes`. Returns it with its size, and `None` if it is incomplete.
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

/// An answer of a [`ScriptedServer`].
///
/// ```
/// use bondify_testkit::Answer;
/// use serde_json::json;
///
/// let too_many = Answer::json(429, json!({"code": "RATE_LIMITED"})).header("retry-after", "1");
/// let half_a_response = Answer::json(200, json!({"status": "pending"})).cut_short();
/// let not_http = Answer::bytes("hello");
/// # drop((too_many, half_a_response, not_http));
/// ```
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
    /// Creates an answer with this status and JSON, after which the connection stays open.
    pub fn json(status: u16, body: impl Into<Value>) -> Self {
        Self::text(status, &body.into().to_string())
    }

    /// Creates an answer with this status and any body, after which the connection stays open.
    pub fn text(status: u16, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n", body.len());
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), then: Then::KeepAlive }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// If the answer is not HTTP.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let end = self.bytes.windows(2).position(|bytes| bytes == b"\r\n");
        let end = end.expect("the answer has a status line") + 2;
        self.bytes.splice(end..end, format!("{name}: {value}\r\n").into_bytes());
        self
    }

    /// Creates an answer of any bytes, after which the server closes the connection.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::HangUp }
    }

    /// Creates an empty answer: the server closes the connection.
    pub fn none() -> Self {
        Self::bytes([])
    }

    /// Cuts the body in half, after which the server closes the connection.
    pub fn cut_short(self) -> Self {
        Self { then: Then::HangUp, ..self.half() }
    }

    /// Cuts the body in half, after which the server sends nothing more.
    pub fn stalled(self) -> Self {
        Self { then: Then::Stall, ..self.half() }
    }

    /// Cuts the body in half, after which the server sends a space every 10 ms, without end.
    ///
    /// ```
    /// use bondify_testkit::{Answer, ScriptedServer};
    ///
    /// /// A time-out for each read does not end this response: a client needs one for the whole.
    /// async fn endless() -> ScriptedServer {
    ///     ScriptedServer::start([Answer::text(200, "{}").trickling()]).await
    /// }
    /// ```
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
    /// Starts a server on a free port.
    ///
    /// ```
    /// use bondify_testkit::{Answer, ScriptedServer};
    ///
    /// # #[tokio::main]
    /// # async fn main() {
    /// let unavailable = ScriptedServer::start([Answer::text(503, "")]).await;
    /// assert!(unavailable.url().starts_with("http://127.0.0.1:"));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If `answers` is empty, and if there is no free port.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: VecDeque<_> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a scripted server has something to answer");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let state =
            Arc::new(State { answers: Mutex::new(answers), received: watch::Sender::default() });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state.clone()));
        Self { address, state, _accepting: accepting }
    }

    /// Returns its URL, `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far, in order.
    ///
    /// ```
    /// use bondify_testkit::ScriptedServer;
    ///
    /// async fn assert_polled_twice(server: &ScriptedServer) {
    ///     server.received(2).await;
    ///     for request in server.requests() {
    ///         assert_eq!(request.method, "POST");
    ///         assert_eq!(request.header("content-type"), Some("application/json"));
    ///         assert_eq!(request.body["project_id"], "proj_abc123");
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.received.borrow().clone()
    }

    /// Waits until this number of requests have arrived.
    ///
    /// # Panics
    ///
    /// After half a minute.
    pub async fn received(&self, requests: usize) {
        wait_until(&self.state.received, |received| received.len() >= requests).await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        // Errors are ignored, because tests also hang up.
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
