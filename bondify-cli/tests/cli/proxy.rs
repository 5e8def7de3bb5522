//! `bondify listen --forward-to` between a sender and an endpoint, byte by byte.

use std::{net::SocketAddr, sync::Arc};

use bondify_axum::Secret;
use bondify_testkit::{WebhookRequest, within_a_minute};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use crate::support::{Running, SECRET};

/// An endpoint that answers each request with the next of its answers and then ends its
/// connection.
struct Endpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// Reads a message whose body has `content-length`, or ends with the connection.
    async fn read(connection: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let read = connection.read_buf(&mut bytes).await.unwrap();
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                assert_ne!(read, 0, "the head ends");
                continue;
            };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map(|length| length.parse::<usize>().unwrap());
            if read == 0 || length.is_some_and(|length| bytes.len() >= end + 4 + length) {
                return Self { head, body: bytes.split_off(end + 4) };
            }
        }
    }

    fn header(&self, name: &str) -> Vec<&str> {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        values.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
    }
}

impl Endpoint {
    async fn start(answers: Vec<(Vec<u8>, Ending)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Message>>>::default();
        let received = Arc::clone(&requests);
        tokio::spawn(async move {
            for (answer, ending) in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let request = Message::read(&mut connection).await;
                received.lock().await.push(request);
                // The command may close the connection before it has read everything.
                let _ = connection.write_all(&answer).await;
                match ending {
                    Ending::Fin => {}
                    Ending::Reset => connection.set_zero_linger().unwrap(),
                    Ending::ResetOnReuse => drop(tokio::spawn(async move {
                        let _ = connection.read_u8().await;
                        connection.set_zero_linger().unwrap();
                    })),
                }
            }
        });
        Self { address, requests }
    }
}

#[derive(Clone, Copy)]
enum Ending {
    Fin,
    Reset,
    /// Resets the connection when another request arrives on it.
    ResetOnReuse,
}

/// A listener that forwards to that endpoint, and its address.
async fn listen(endpoint: &Endpoint) -> (Running, String) {
    let url = format!("http://{}/hook", endpoint.address);
    let args = ["listen", "--port=0", "--json", "--forward-to", &url];
    let mut listener = Running::start(&args);
    let listening = listener.json().await["listening"].as_str().unwrap().to_owned();
    (listener, listening.strip_prefix("http://").unwrap().to_owned())
}

fn delivery(body: impl Into<bytes::Bytes>) -> WebhookRequest {
    WebhookRequest::signed(body, &Secret::new(SECRET).unwrap())
}

/// A body that is an event of at least `size` bytes.
fn event_of(size: usize) -> String {
    let filling = "x".repeat(size.saturating_sub(40));
    format!(r#"{{"event":"auth.new","filling":"{filling}"}}"#)
}

/// Sends a delivery and reads everything until the connection ends, with the error if it breaks.
async fn deliver(address: &str, request: WebhookRequest) -> (Vec<u8>, std::io::Result<usize>) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = request.with("connection", "close").to_http1("/");
    connection.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer).await;
    (answer, read)
}

async fn answer_to(address: &str, request: WebhookRequest) -> Message {
    let (bytes, read) = deliver(address, request).await;
    read.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    Message { head, body: bytes[end + 4..].to_vec() }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Bytes without a pattern that a compression would find.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(size).collect()
}

#[tokio::test]
async fn bodies_of_every_size_arrive_unchanged_in_both_directions() {
    within_a_minute(async {
        let sizes = [0, 1, 16_383, 65_535, 65_536, 65_537, 200_000, 1_000_000, 10_000_000];
        let answers = sizes.map(|size| (answer("", &noise(size)), Ending::Fin)).into();
        let endpoint = Endpoint::start(answers).await;
        let (_listener, address) = listen(&endpoint).await;
        for (number, size) in sizes.into_iter().enumerate() {
            let event = event_of(size);
            let answer = answer_to(&address, delivery(event.clone())).await;
            assert_eq!(answer.header("content-length"), [size.to_string()]);
            assert!(answer.body == noise(size), "{size} bytes of answer");
            let requests = endpoint.requests.lock().await;
            assert!(requests[number].body == event.as_bytes(), "{size} bytes of request");
        }
    })
    .await;
}

#[tokio::test]
async fn every_end_to_end_header_is_passed_on() {
    within_a_minute(async {
        let head = "set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-encoding: gzip\r\n\
            retry-after: 7\r\netag: \"x\"\r\nx-request-id: 42\r\nconnection: x-hop\r\nx-hop: 1\r\n\
            keep-alive: timeout=5\r\n";
        let zipped =
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
        let endpoint = Endpoint::start(vec![(answer(head, zipped), Ending::Fin)]).await;
        let (_listener, address) = listen(&endpoint).await;
        let request = delivery(event_of(0))
            .with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .with("user-agent", "Bondify/1")
            .with("accept-encoding", "gzip")
            .with("accept", "application/json")
            .with("x-twice", "1")
            .with("x-twice", "2")
            .with("te", "trailers")
            .with("proxy-authorization", "hush");
        let answer = answer_to(&address, request).await;
        assert_eq!(answer.body, zipped);
        for (name, values) in [
            ("set-cookie", &["a=1", "b=2"][..]),
            ("content-encoding", &["gzip"]),
            ("retry-after", &["7"]),
            ("etag", &["\"x\""]),
            ("x-request-id", &["42"]),
            ("x-hop", &[]),
            ("keep-alive", &[]),
        ] {
            assert_eq!(answer.header(name), values, "{name}");
        }
        let requests = endpoint.requests.lock().await;
        for (name, values) in [
            ("traceparent", &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"][..]),
            ("user-agent", &["bondify/1"]),
            ("accept-encoding", &["gzip"]),
            ("accept", &["application/json"]),
            ("x-twice", &["1", "2"]),
            ("te", &[]),
            ("proxy-authorization", &[]),
            ("host", &[&endpoint.address.to_string()]),
        ] {
            let mut lower = requests[0].header(name);
            lower.iter_mut().for_each(|value| *value = value.trim());
            assert_eq!(lower, values, "{name}");
        }
        assert!(requests[0].head.starts_with("post /hook http/1.1"));
    })
    .await;
}

#[tokio::test]
async fn an_informational_answer_is_not_the_answer() {
    within_a_minute(async {
        let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
        let answers = vec![([early, answer("", b"done")].concat(), Ending::Fin)];
        let endpoint = Endpoint::start(answers).await;
        let (_listener, address) = listen(&endpoint).await;
        let answer = answer_to(&address, delivery(event_of(0))).await;
        assert!(answer.head.starts_with("http/1.1 200 "), "{answer:?}");
        assert_eq!(answer.body, b"done");
    })
    .await;
}

#[tokio::test]
async fn a_body_in_chunks_arrives_with_its_trailers() {
    within_a_minute(async {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
            3\r\nabc\r\n5\r\ndefgh\r\n0\r\nx-sum: 36\r\n\r\n";
        let endpoint = Endpoint::start(vec![(chunked.to_vec(), Ending::Fin)]).await;
        let (_listener, address) = listen(&endpoint).await;
        let answer = answer_to(&address, delivery(event_of(0)).with("te", "trailers")).await;
        let body = String::from_utf8(answer.body).unwrap();
        let mut content = String::new();
        let mut lines = body.split("\r\n");
        while let Some(size) = lines.next().filter(|size| *size != "0") {
            let chunk = lines.next().unwrap();
            assert_eq!(usize::from_str_radix(size, 16), Ok(chunk.len()));
            content.push_str(chunk);
        }
        assert_eq!(content, "abcdefgh");
        assert_eq!(lines.next(), Some("x-sum: 36"), "{body}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_by_the_sender_and_shown() {
    within_a_minute(async {
        let with_length = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec();
        for ending in [Ending::Fin, Ending::Reset] {
            let answers = vec![(with_length.clone(), ending), (chunked.clone(), ending)];
            let endpoint = Endpoint::start(answers).await;
            let (mut listener, address) = listen(&endpoint).await;
            let (answer, _) = deliver(&address, delivery(event_of(0))).await;
            let text = String::from_utf8(answer).unwrap();
            let is_incomplete = !text.contains("content-length: 4\r\n");
            assert!(is_incomplete, "{text}");
            // A reset may overtake the head; then the answer is 502.
            let shown = listener.json().await;
            if shown["status"] == 200 {
                assert_eq!(listener.json().await["broken_off"], "auth.new");
            } else {
                assert_eq!(shown["status"], 502, "{shown}");
            }
            let (answer, _) = deliver(&address, delivery(event_of(0))).await;
            let text = String::from_utf8(answer).unwrap();
            assert!(!text.ends_with("0\r\n\r\n"), "the last chunk is missing: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_endpoint_has_reset_is_not_reused() {
    within_a_minute(async {
        let kept = answer("connection: keep-alive\r\n", b"ok");
        let endings = [Ending::ResetOnReuse, Ending::ResetOnReuse, Ending::Reset, Ending::Fin];
        let answers = [endings, endings].concat();
        let answers = answers.into_iter().map(|ending| (kept.clone(), ending)).collect();
        let endpoint = Endpoint::start(answers).await;
        let (_listener, address) = listen(&endpoint).await;
        for _ in 0..8 {
            let answer = answer_to(&address, delivery(event_of(0))).await;
            assert!(answer.head.starts_with("http/1.1 200 "), "{answer:?}");
        }
    })
    .await;
}
