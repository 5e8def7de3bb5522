use std::{io, net::SocketAddr};

use bytes::{Buf, BytesMut};
use httparse::Status;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::WebhookRequest;

/// A keep-alive connection to the server under test, which can hang up as clients do.
///
/// ```
/// use bondify_core::Secret;
/// use bondify_testkit::{Connection, Payload};
///
/// # use bondify_testkit::{Answer, ScriptedServer};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start([Answer::text(204, "")]).await;
/// # let server = server.url().trim_start_matches("http://").parse()?;
/// let request = Payload::confirmed().signed_with(&Secret::new("whsec_test")?);
/// let mut connection = Connection::open(server).await?;
/// let response = connection.post("/webhooks/bondify", &request).await?;
/// assert_eq!(response.status, 204);
///
/// // A client that disappears while the handler runs.
/// connection.send(&request.to_http1("/webhooks/bondify")).await?;
/// connection.reset()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    /// Opens a connection to `server`.
    ///
    /// ```no_run
    /// use bondify_testkit::Connection;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut connection = Connection::open("127.0.0.1:3000".parse()?).await?;
    /// connection.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    /// assert_eq!(connection.response().await?.status, 200);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the socket, for example if nothing listens there.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::new() })
    }

    /// Sends a request and reads the response.
    ///
    /// # Errors
    ///
    /// The error of the socket, [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the response breaks
    /// off, and [`InvalidData`](io::ErrorKind::InvalidData) if it is not HTTP/1.1.
    pub async fn post(&mut self, path: &str, request: &WebhookRequest) -> io::Result<Response> {
        self.send(&request.to_http1(path)).await?;
        self.response().await
    }

    /// Sends any bytes, for example half a request.
    ///
    /// # Errors
    ///
    /// The error of the socket, for example if the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the next response.
    ///
    /// # Errors
    ///
    /// The error of the socket, [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the response breaks
    /// off, and [`InvalidData`](io::ErrorKind::InvalidData) if it is not HTTP/1.1.
    pub async fn response(&mut self) -> io::Result<Response> {
        loop {
            if let Some((response, size)) = Response::parse(&self.received)? {
                self.received.advance(size);
                return Ok(response);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits until a part of a response has arrived, for responses that do not end.
    ///
    /// ```
    /// use std::io;
    ///
    /// use bondify_testkit::Connection;
    ///
    /// /// A client of server-sent events that disconnects in the middle.
    /// async fn listen_and_leave(connection: &mut Connection) -> io::Result<()> {
    ///     connection.send(b"GET /login/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    ///     connection.part_of_a_response().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the socket, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the server closes
    /// the connection before.
    pub async fn part_of_a_response(&mut self) -> io::Result<()> {
        if self.received.is_empty() && self.stream.read_buf(&mut self.received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Closes the connection (FIN) and waits until the server has closed its side.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::{Connection, Payload};
    ///
    /// /// A client that disconnects while the handler runs.
    /// async fn deliver_and_leave(mut connection: Connection, secret: &Secret) -> std::io::Result<()> {
    ///     let request = Payload::confirmed().signed_with(secret);
    ///     connection.send(&request.to_http1("/webhooks/bondify")).await?;
    ///     connection.hang_up().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the socket, for example if the server resets the connection.
    pub async fn hang_up(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        while self.stream.read_buf(&mut self.received).await? > 0 {}
        Ok(())
    }

    /// Resets the connection (RST).
    ///
    /// # Errors
    ///
    /// The error of the socket.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}

/// A response from the server under test.
///
/// ```
/// use bondify_testkit::Response;
///
/// fn assert_refused(response: &Response) {
///     assert_eq!(response.status, 401, "{}", response.body);
///     assert_eq!(response.code().as_deref(), Some("INVALID_SIGNATURE"));
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, read as text.
    pub body: String,
}

impl Response {
    /// Returns the value of a header. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the machine code, if the response is a [`Reply`](bondify_core::Reply).
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        let status = body["status"].as_str().map(str::to_uppercase);
        status.or_else(|| body["code"].as_str().map(str::to_owned))
    }

    pub(crate) fn is_json(&self) -> bool {
        self.header("content-type").is_some_and(|it| it.starts_with("application/json"))
    }

    /// Parses the first response in `bytes`. Returns it with its size, and `None` if it is incomplete.
    fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let Status::Complete(start) = head.parse(bytes).map_err(malformed)? else {
            return Ok(None);
        };
        let mut response = Self {
            status: head.code.unwrap_or_default(),
            headers: head.headers.iter().map(text).collect(),
            body: String::new(),
        };
        let Some((body, size)) = response.body_of(&bytes[start..]) else {
            return Ok(None);
        };
        response.body = String::from_utf8_lossy(&body).into_owned();
        Ok(Some((response, start + size)))
    }

    /// Reads the body at the start of `bytes`. Returns it with its encoded size, and `None` if it is
    /// incomplete.
    fn body_of(&self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        if self.header("transfer-encoding") == Some("chunked") {
            return unchunk(bytes);
        }
        let size = self.header("content-length").and_then(|size| size.parse().ok()).unwrap_or(0);
        Some((bytes.get(..size)?.to_vec(), size))
    }
}

/// The first value of a header.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
}

pub(crate) fn text(header: &httparse::Header<'_>) -> (String, String) {
    (header.name.to_lowercase(), String::from_utf8_lossy(header.value).into_owned())
}

fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Ok(Status::Complete((start, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        let start = at + start;
        let end = start + size as usize;
        body.extend_from_slice(bytes.get(start..end)?);
        at = end + 2;
        bytes.get(end..at)?;
        if size == 0 {
            return Some((body, at));
        }
    }
}
