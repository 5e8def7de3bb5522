//! Each proxy, with the file that the page shows, in front of a receiver.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::HeaderMap,
    response::sse::{Event, Sse},
    routing::get,
};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_testkit::{Payload, WebhookRequest, within_a_minute};
use example_support::proxy::{CADDY, HAPROXY, Kind, NGINX, Proxy, block, replace};
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Response;
use tokio::{net, time::sleep};

const PAGE: &str = include_str!("../reverse-proxies.md");

/// A proxy with the file that the page shows, in front of a receiver.
struct Rig {
    proxy: Proxy,
    secret: Secret,
}

impl Rig {
    async fn start(kind: &Kind) -> Option<Self> {
        let secret = Secret::new("whsec_test").unwrap();
        let receiver = receiver(&secret).await.to_string();
        let file = replace(block(PAGE, kind.tag), "127.0.0.1:3000", &receiver);
        let proxy = Proxy::start(kind, &file).await?;
        Some(Self { proxy, secret })
    }

    async fn send(&self, request: &WebhookRequest) -> Response {
        let mut post = self.proxy.client.post(format!("{}/webhooks/bondify", self.proxy.url));
        for (name, value) in request.headers() {
            post = post.header(name, value);
        }
        post.body(request.body().clone()).send().await.expect("the proxy answers")
    }

    /// The status and the text of the answer.
    async fn answer(&self, request: &WebhookRequest) -> (u16, String) {
        let response = self.send(request).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> Response {
        self.proxy
            .client
            .get(format!("{}{path}", self.proxy.url))
            .send()
            .await
            .expect("the proxy answers")
    }
}

/// The server behind the proxy: a webhook that answers with the body that it got, or takes 10.5
/// seconds; the headers that arrive; an event stream that does not end.
async fn receiver(secret: &Secret) -> SocketAddr {
    let bondify = Bondify::builder(secret.clone()).build().unwrap();
    let on_event = async |BondifyEvent(event): BondifyEvent| {
        if event.name() == "test.slow" {
            sleep(Duration::from_millis(10_500)).await;
        }
        event.raw().clone()
    };
    let events = async || {
        let events = stream::iter([Ok::<_, axum::Error>(Event::default().data("first"))]);
        ([("x-accel-buffering", "no")], Sse::new(events.chain(stream::pending())))
    };
    let origin = async |headers: HeaderMap| headers["sec-fetch-site"].to_str().unwrap().to_owned();
    let app = Router::new()
        .route("/webhooks/bondify", bondify.post(on_event))
        .route("/events", get(events))
        .route("/origin", get(origin));
    let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// The signature covers the bytes: spaces, escapes and the order of fields.
async fn bytes_pass(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let bodies = [
        r#"{ "z":1,"event" : "test.odd","session_token":"sess_1","name":"\u00c4da 𝄞" }"#.to_owned(),
        format!(
            r#"{{"event":"test.large","session_token":"sess_2","x":"{}"}}"#,
            "x".repeat(65_000)
        ),
    ];
    for body in bodies {
        let request = WebhookRequest::signed(body.clone(), &rig.secret);
        assert_eq!(rig.answer(&request).await, (200, body));
    }
}

async fn answers_pass(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let genuine = Payload::confirmed().signed_with(&rig.secret);
    assert_eq!(rig.answer(&genuine).await.0, 200);
    let duplicate = (200, r#"{"status":"duplicate"}"#.to_owned());
    assert_eq!(rig.answer(&genuine).await, duplicate);
    let (status, text) = rig.answer(&genuine.clone().tampered()).await;
    assert_eq!((status, text.contains("INVALID_SIGNATURE")), (401, true), "{text}");

    let concurrent = Payload::confirmed().signed_with(&rig.secret);
    let answers = join_all([(); 8].map(|()| rig.answer(&concurrent))).await;
    assert_eq!(answers.iter().filter(|&answer| *answer == duplicate).count(), 7, "{answers:?}");

    // One is refused by the receiver, the other by the proxy or the receiver.
    let above = |size| WebhookRequest::signed(vec![b' '; size], &rig.secret);
    let (status, text) = rig.answer(&above(64 * 1024 + 1)).await;
    assert_eq!((status, text.contains("PAYLOAD_TOO_LARGE")), (413, true), "{text}");
    assert_eq!(rig.answer(&above(2 * 1024 * 1024)).await.0, 413);
}

async fn login_passes(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let request = rig.proxy.client.get(format!("{}/origin", rig.proxy.url));
    let response = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "same-origin");
    let mut events = rig.get("/events").await;
    let event = events.chunk().await.unwrap().expect("the stream is open");
    assert_eq!(event, "data: first\n\n");
}

#[tokio::test]
async fn each_waits_for_an_answer_for_more_than_ten_seconds() {
    within_a_minute(join_all([NGINX, CADDY, HAPROXY].iter().map(slow_answer_passes))).await;
}

async fn slow_answer_passes(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let slow = Payload::unknown("test.slow").signed_with(&rig.secret);
    assert_eq!(rig.send(&slow).await.status(), 200);
}

macro_rules! proxy_tests {
    ($($module:ident: $kind:ident,)+) => {$(
        mod $module {
            use super::*;

            #[tokio::test]
            async fn passes_on_the_bytes_that_were_signed() {
                within_a_minute(bytes_pass(&$kind)).await;
            }

            #[tokio::test]
            async fn passes_on_every_answer() {
                within_a_minute(answers_pass(&$kind)).await;
            }

            #[tokio::test]
            async fn passes_on_what_the_login_page_needs() {
                within_a_minute(login_passes(&$kind)).await;
            }
        }
    )+};
}

proxy_tests! {
    nginx: NGINX,
    caddy: CADDY,
    haproxy: HAPROXY,
}
