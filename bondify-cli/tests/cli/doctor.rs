mod project;
mod sign_in;

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header::DATE},
    response::{IntoResponse, Response},
    routing::post,
};
use bondify_axum::Secret;
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use tokio::time::sleep;

use crate::support::{Finished, Receiver, SECRET, run, serve};

/// A delivery, as a broken server sees it.
struct Delivery {
    is_signed: bool,
    has_signature: bool,
    event: String,
    /// Whether the same body arrived before with a valid signature.
    is_duplicate: bool,
    body: Bytes,
}

/// Starts a server that answers as `answer` says.
async fn server<F>(answer: impl Fn(Delivery) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = Response> + Send,
{
    let seen = Arc::<Mutex<HashMap<Bytes, u32>>>::default();
    let handler = async move |headers: HeaderMap, body: Bytes| {
        let signature = headers.get("x-bondify-signature").and_then(|value| value.to_str().ok());
        let secret = Secret::new(SECRET).unwrap();
        let is_signed = signature == Some(&*secret.sign(&body).to_string());
        let times = {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry(body.clone()).or_default();
            *times += u32::from(is_signed);
            *times
        };
        let event: Value = serde_json::from_slice(&body).unwrap();
        let event = event["event"].as_str().unwrap().to_owned();
        let has_signature = signature.is_some();
        answer(Delivery { is_signed, has_signature, event, is_duplicate: times > 1, body }).await
    };
    serve(Router::new().route("/webhooks/bondify", post(handler))).await
}

fn refusal(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, json!({"error": "in words", "code": code}).to_string()).into_response()
}

/// The answer of a sound server.
fn sound(delivery: &Delivery) -> Response {
    if !delivery.is_signed {
        refusal(401, "INVALID_SIGNATURE")
    } else if delivery.is_duplicate {
        json!({"status": "duplicate"}).to_string().into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    }
}

async fn doctor(url: &str) -> Finished {
    run(&["doctor", "--json", "--timeout=2s", "--url", url]).await
}

/// Asserts that the endpoint has these findings, and no others but `ok`.
#[track_caller]
fn assert_findings(finished: &Finished, expected: &[(&str, &str)]) {
    let findings = finished.json();
    let found = findings.iter().filter(|finding| finding["result"] != "ok");
    let found: Vec<_> = found
        .map(|finding| {
            assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
            (finding["check"].as_str().unwrap(), finding["result"].as_str().unwrap())
        })
        .collect();
    assert_eq!(found, expected, "{finished}");
    let has_problem = expected.iter().any(|(_, result)| *result == "problem");
    assert_eq!(finished.code, Some(has_problem.into()), "{finished}");
}

#[tokio::test]
async fn a_sound_endpoint_has_no_findings() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let finished = run(&["doctor", "--url", &receiver.url]).await;
        assert_data_eq!(
            finished.to_string(),
            str![[r#"
ok       reachable        the endpoint answers: 401 Unauthorized
ok       unsigned         a delivery without a signature is refused: 401 Unauthorized
ok       wrong-signature  a delivery with a wrong signature is refused: 401 Unauthorized
ok       signature        a signed delivery is accepted: 204 No Content
ok       time             the answer takes [..] ms
ok       duplicate        the same delivery again is known
ok       body             a body with spaces, escapes and a new field is accepted
ok       unknown-event    an event with an unknown name is accepted
ok       hang-up          a delivery whose connection ends early is accepted when it is sent again
exit code: 0

"#]]
        );
        let handled = receiver.handled();
        assert!(
            handled.iter().all(|event| event.name() != "auth.confirmed"),
            "no login is made up"
        );
        assert_findings(&doctor(&server(async |delivery| sound(&delivery)).await).await, &[]);
    })
    .await;
}

#[tokio::test]
async fn a_server_with_a_different_secret_is_reported() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let args = ["doctor", "--secret=whsec_other", "--url", &receiver.url];
        let finished = run(&args).await;
        assert_eq!(finished.code, Some(1), "{finished}");
        let problem = "problem  signature        a signed delivery is refused: 401 Unauthorized \
                       (INVALID_SIGNATURE)";
        assert!(finished.stdout.contains(problem), "{finished}");
        assert!(finished.stdout.contains("same webhook secret"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_verify_is_named() {
    within_a_minute(async {
        let anything = server(async |_| StatusCode::NO_CONTENT.into_response()).await;
        let expected =
            [("unsigned", "problem"), ("wrong-signature", "problem"), ("duplicate", "warning")];
        assert_findings(&doctor(&anything).await, &expected);
        let any_signature = server(async |delivery: Delivery| {
            if delivery.has_signature {
                sound(&Delivery { is_signed: true, ..delivery })
            } else {
                refusal(401, "MISSING_SIGNATURE")
            }
        });
        let expected = [("wrong-signature", "problem")];
        assert_findings(&doctor(&any_signature.await).await, &expected);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_writes_the_body_again_is_named() {
    within_a_minute(async {
        let rebuilding = server(async |delivery: Delivery| {
            // The same fields in the same order, without spaces, as JSON.stringify(JSON.parse(body)).
            let mut rebuilt = Vec::new();
            let mut from = serde_json::Deserializer::from_slice(&delivery.body);
            let mut to = serde_json::Serializer::new(&mut rebuilt);
            serde_transcode::transcode(&mut from, &mut to).unwrap();
            let is_signed = delivery.is_signed && rebuilt == delivery.body;
            sound(&Delivery { is_signed, ..delivery })
        });
        assert_findings(&doctor(&rebuilding.await).await, &[("body", "problem")]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named() {
    within_a_minute(async {
        let nobody = doctor("http://127.0.0.1:9/webhooks/bondify").await;
        assert_findings(&nobody, &[("reachable", "problem")]);
        let silent = server(async |_| pending().await).await;
        let silent = run(&["doctor", "--json", "--timeout=200ms", "--url", &silent]).await;
        assert_findings(&silent, &[("reachable", "problem")]);
        let sound = server(async |delivery| sound(&delivery)).await;
        let elsewhere = doctor(&sound.replace("/webhooks", "/hooks")).await;
        assert_findings(&elsewhere, &[("reachable", "problem")]);
        for status in [302, 405, 413, 415, 502, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            let misrouted = server(move |_| async move { status.into_response() }).await;
            assert_findings(&doctor(&misrouted).await, &[("reachable", "problem")]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_fails_at_signed_deliveries_is_named() {
    within_a_minute(async {
        for (status, code, advice) in [
            (500, "HANDLER_PANICKED", "log"),
            (503, "STORE_UNAVAILABLE", "dedupe store"),
            (401, "STALE_EVENT", "clock"),
            (401, "MISSING_SIGNATURE", "X-Bondify-Signature"),
            (429, "RATE_LIMITED", "rate limit"),
        ] {
            let failing = server(move |delivery: Delivery| async move {
                if delivery.is_signed { refusal(status, code) } else { sound(&delivery) }
            });
            let finished = doctor(&failing.await).await;
            assert_findings(&finished, &[("signature", "problem")]);
            assert!(finished.stdout.contains(advice), "{finished}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_firewall_that_refuses_every_delivery_is_named() {
    within_a_minute(async {
        let firewall = server(async |_| StatusCode::FORBIDDEN.into_response()).await;
        let finished = doctor(&firewall).await;
        assert_findings(&finished, &[("signature", "problem")]);
        assert!(finished.stdout.contains("firewalls"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_server_with_a_wrong_clock_is_reported_with_the_direction() {
    within_a_minute(async {
        for (is_behind, seconds, result, text) in [
            (true, 300, "problem", "s behind this machine's"),
            (false, 300, "problem", "s ahead of this machine's"),
            (true, 20, "warning", "s behind this machine's"),
        ] {
            let off = Duration::from_secs(seconds);
            let wrong = server(move |delivery| async move {
                let mut answer = sound(&delivery);
                let now = SystemTime::now();
                let date = httpdate::fmt_http_date(if is_behind { now - off } else { now + off });
                answer.headers_mut().insert(DATE, date.parse().unwrap());
                answer
            });
            let finished = doctor(&wrong.await).await;
            assert_findings(&finished, &[("clock", result)]);
            assert!(finished.stdout.contains(text), "{finished}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_server_is_reported() {
    within_a_minute(async {
        let slow = server(async |delivery: Delivery| {
            if delivery.is_signed && !delivery.is_duplicate {
                sleep(Duration::from_millis(3100)).await;
            }
            sound(&delivery)
        })
        .await;
        let finished = run(&["doctor", "--json", "--url", &slow]).await;
        assert_findings(&finished, &[("time", "warning")]);
        let finished = run(&["doctor", "--json", "--timeout=1s", "--url", &slow]).await;
        assert_findings(&finished, &[("time", "problem")]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_take_what_bondify_may_send_is_named() {
    within_a_minute(async {
        let refusing_duplicates = server(async |delivery: Delivery| {
            if delivery.is_duplicate { refusal(500, "UNIQUE_VIOLATION") } else { sound(&delivery) }
        });
        let expected = [("duplicate", "problem"), ("hang-up", "problem")];
        assert_findings(&doctor(&refusing_duplicates.await).await, &expected);
        let silent_about_duplicates =
            server(async |delivery| sound(&Delivery { is_duplicate: false, ..delivery }));
        let expected = [("duplicate", "warning")];
        assert_findings(&doctor(&silent_about_duplicates.await).await, &expected);
        let strict = server(async |delivery: Delivery| {
            if delivery.event == "auth.cancelled" {
                sound(&delivery)
            } else {
                refusal(400, "UNKNOWN_EVENT")
            }
        });
        assert_findings(&doctor(&strict.await).await, &[("unknown-event", "warning")]);
        // The first delivery is never finished, and the next ones wait for it.
        let events = Arc::<Mutex<u32>>::default();
        let holding = server(move |delivery: Delivery| {
            let events = Arc::clone(&events);
            async move {
                if delivery.is_signed && !delivery.is_duplicate {
                    *events.lock().unwrap() += 1;
                }
                match (*events.lock().unwrap(), delivery.is_duplicate) {
                    (4, false) => {}
                    (4, true) => return refusal(409, "IN_FLIGHT"),
                    _ => return sound(&delivery),
                }
                pending().await
            }
        });
        assert_findings(&doctor(&holding.await).await, &[("hang-up", "problem")]);
    })
    .await;
}
