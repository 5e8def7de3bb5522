use axum::http::StatusCode;
use bondify_axum::Secret;
use bondify_testkit::{Payload, WebhookRequest, within_a_minute};
use serde_json::json;
use snapbox::{assert_data_eq, str};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Recorder, Running, SECRET, run};

/// A listener, and its address.
async fn listen(args: &[&str]) -> (Running, String) {
    let mut listener = Running::start(&[&["listen", "--port", "0", "--json"], args].concat());
    let ready = listener.json().await;
    let url = ready["listening"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().to_owned();
    (listener, address)
}

fn delivery() -> WebhookRequest {
    Payload::confirmed().session_token("sess_1").signed_with(&Secret::new(SECRET).unwrap())
}

/// The answer to `request`, head and body.
async fn deliver(address: &str, request: WebhookRequest) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = request.with("connection", "close").to_http1("/anywhere");
    connection.write_all(&request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn shows_what_is_signed_and_answers_204() {
    within_a_minute(async {
        let (mut listener, address) = listen(&[]).await;
        let delivery = delivery();
        let answer = deliver(&address, delivery.clone()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert_eq!(
            listener.json().await,
            json!({
                "verified": true,
                "event": "auth.confirmed",
                "session_token": "sess_1",
                "status": 204,
                "body": str::from_utf8(delivery.body()).unwrap(),
            })
        );
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_shown_as_text() {
    within_a_minute(async {
        let mut listener = Running::start(&["listen", "--port", "0"]);
        let ready = listener.line().await;
        let address = ready.strip_prefix("listening on http://").unwrap().to_owned();
        let secret = Secret::new(SECRET).unwrap();
        let signed = Payload::cancelled().session_token("s").signed_with(&secret);
        deliver(&address, signed).await;
        deliver(&address, delivery().tampered()).await;
        listener.signal("INT").await;
        assert_data_eq!(
            listener.end().await.to_string(),
            str![[r#"
auth.cancelled: 204 No Content
{"cancelled_at":[..],"event":"auth.cancelled","session_token":"s"}
refused: 401 INVALID_SIGNATURE, the signature is not valid for this body
exit code: 0

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn forwards_the_exact_bytes_and_passes_on_the_answer() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| (StatusCode::ACCEPTED, "thanks")).await;
        let (mut listener, address) = listen(&["--forward-to", &url]).await;
        let body = "{ \"event\" : \"auth.new\",\r\n\"x\":1.0e0 }\n";
        let delivery = WebhookRequest::signed(body, &Secret::new(SECRET).unwrap())
            .signature_as(str::to_uppercase)
            .without("content-type")
            .with("content-type", "application/json; charset=utf-8");

        let answer = deliver(&address, delivery.clone()).await;
        assert!(
            answer.starts_with("HTTP/1.1 202 ") && answer.ends_with("\r\n\r\nthanks"),
            "{answer}"
        );
        assert!(answer.contains("content-type: text/plain"), "{answer}");
        let [(headers, forwarded)] = &recorder.requests()[..] else { panic!("one request") };
        assert_eq!(forwarded, body);
        assert_eq!(headers["x-bondify-signature"], delivery.signature());
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");

        let shown = listener.json().await;
        assert_eq!((&shown["status"], &shown["body"]), (&json!(202), &json!(body)));
        assert!(shown["latency_ms"].is_f64());
    })
    .await;
}

#[tokio::test]
async fn every_delivery_is_forwarded_duplicates_too() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| "thanks").await;
        let (_listener, address) = listen(&["--forward-to", &url]).await;
        for _ in 0..2 {
            let answer = deliver(&address, delivery()).await;
            assert!(answer.ends_with("thanks"), "{answer}");
        }
        assert_eq!(recorder.requests().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_unsigned_delivery_is_refused_and_never_forwarded() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| StatusCode::OK).await;
        let (mut listener, address) = listen(&["--forward-to", &url]).await;
        for (forged, code) in [
            (delivery().without("x-bondify-signature"), "MISSING_SIGNATURE"),
            (delivery().tampered(), "INVALID_SIGNATURE"),
            (delivery().without("content-type"), "UNSUPPORTED_MEDIA_TYPE"),
        ] {
            let answer = deliver(&address, forged).await;
            assert!(answer.contains(code), "{answer}");
            let shown = listener.json().await;
            assert_eq!((&shown["verified"], &shown["code"]), (&json!(false), &json!(code)));
            assert!(shown.get("body").is_none());
        }
        assert!(recorder.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_endpoint_is_answered_with_502() {
    within_a_minute(async {
        let (mut listener, address) = listen(&["--forward-to", "http://127.0.0.1:9/"]).await;
        let answer = deliver(&address, delivery()).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let shown = listener.json().await;
        assert_eq!(shown["status"], 502);
        assert!(shown["error"].as_str().unwrap().contains("refused"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_slow_endpoint_is_answered_with_504() {
    within_a_minute(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let (_listener, address) = listen(&["--forward-to", &url, "--timeout", "100ms"]).await;
        let answer = deliver(&address, delivery()).await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn forwarding_continues_after_the_sender_has_disconnected() {
    within_a_minute(async {
        let endpoint = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", endpoint.local_addr().unwrap());
        let (mut listener, address) = listen(&["--forward-to", &url]).await;
        let mut sender = TcpStream::connect(&address).await.unwrap();
        let delivery = delivery();
        sender.write_all(&delivery.to_http1("/")).await.unwrap();
        let (mut forwarded, _) = endpoint.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(delivery.body()) {
            forwarded.read_buf(&mut request).await.unwrap();
        }
        drop(sender);
        forwarded.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert_eq!(listener.json().await["status"], 200);
    })
    .await;
}

#[tokio::test]
async fn only_posts_are_deliveries() {
    within_a_minute(async {
        let (_listener, address) = listen(&[]).await;
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let get = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        connection.write_all(get).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    within_a_minute(async {
        let (_listener, address) = listen(&[]).await;
        let port = address.rsplit(':').next().unwrap();
        let refused = run(&["listen", "--port", port]).await;
        assert_eq!((refused.code, &*refused.stdout), (Some(2), ""));
        assert!(refused.stderr.starts_with("error: cannot listen on 127.0.0.1:"), "{refused}");
    })
    .await;
}
