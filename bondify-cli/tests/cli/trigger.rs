use std::{
    collections::HashSet,
    future::pending,
    time::{Duration, SystemTime},
};

use axum::{Router, http::StatusCode, response::Redirect, routing::post};
use bondify_axum::{Confirmed, Event};
use bondify_testkit::within_a_minute;
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::support::{Finished, Receiver, Recorder, run, run_with, serve};

async fn trigger(url: &str, args: &[&str]) -> Finished {
    run(&[&["trigger", "--url", url], args].concat()).await
}

fn confirmed(events: &[Event]) -> &Confirmed {
    match events {
        [Event::Confirmed(login)] => login,
        other => panic!("one confirmation, not {other:?}"),
    }
}

#[tokio::test]
async fn a_confirmation_of_the_default_user() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let triggered = trigger(&receiver.url, &["auth.confirmed"]).await;
        assert_data_eq!(
            triggered.to_string(),
            str![[r#"
204 No Content in [..] ms
exit code: 0

"#]]
        );
        let events = receiver.handled();
        let login = confirmed(&events);
        assert!(login.session_token().starts_with("sess_"));
        assert!(login.user().id().to_i64().is_some());
        assert!(!login.user().name().is_empty());
        assert!(login.user().username().is_some());
        assert_eq!(login.user().phone(), None);
    })
    .await;
}

#[tokio::test]
async fn a_confirmation_with_given_fields() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let args = [
            "auth.confirmed",
            "--session-token=sess_mine",
            "--telegram-id=7000000001",
            "--telegram-name=İlker \"🦀\"",
            "--username=",
            "--phone=+905550000000",
        ];
        assert_eq!(trigger(&receiver.url, &args).await.code, Some(0));
        let events = receiver.handled();
        let login = confirmed(&events);
        assert_eq!(login.session_token(), "sess_mine");
        assert_eq!(login.user().id().as_str(), "7000000001");
        assert_eq!(login.user().name(), "İlker \"🦀\"");
        assert_eq!(login.user().username(), None);
        assert_eq!(login.user().phone(), Some("+905550000000"));
    })
    .await;
}

#[tokio::test]
async fn bodies_are_as_documented() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| StatusCode::OK).await;
        let session = "--session-token=sess_1";
        trigger(&url, &["auth.confirmed", session]).await;
        trigger(&url, &["auth.cancelled", session]).await;
        let bodies = recorder.requests().into_iter().map(|(_, body)| body);
        let bodies: Vec<_> = bodies.map(|body| String::from_utf8(body.into()).unwrap()).collect();
        assert_data_eq!(
            bodies.join("\n"),
            str![[r#"
{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"7123456789","telegram_name":"Ada Lovelace","telegram_username":"ada","confirmed_at":[..]}
{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":[..]}
"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_2xx_is_shown_and_fails() {
    within_a_minute(async {
        let (_, url) = Recorder::start(|| (StatusCode::CONFLICT, "come \u{1b}[2Jback\n")).await;
        let triggered = trigger(&url, &["auth.cancelled"]).await;
        assert_data_eq!(
            triggered.to_string(),
            str![[r#"
409 Conflict in [..] ms
come [..]back
exit code: 1

"#]]
        );
        assert!(!triggered.stdout.contains('\u{1b}'), "{triggered:?}");
    })
    .await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let there = receiver.url.clone();
        let (_, url) = Recorder::start(move || Redirect::temporary(&there)).await;
        assert_eq!(trigger(&url, &["auth.cancelled"]).await.code, Some(1));
        assert!(receiver.handled().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_missing_answer_is_a_failure() {
    within_a_minute(async {
        // Bound, but not listening.
        let nobody = tokio::net::TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        assert_data_eq!(
            trigger(&url, &["auth.cancelled"]).await.to_string(),
            str![[r#"
no answer: Connection refused (os error 111)
exit code: 1

"#]]
        );

        let silent = Router::new().fallback(post(async || pending::<StatusCode>().await));
        let url = serve(silent).await;
        assert_data_eq!(
            trigger(&url, &["auth.cancelled", "--timeout", "100ms"]).await.to_string(),
            str![[r#"
no answer: timed out
exit code: 1

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn each_of_many_deliveries_has_its_own_session() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let many = ["auth.confirmed", "--count", "40", "--concurrency", "8"];
        assert_data_eq!(
            trigger(&receiver.url, &many).await.to_string(),
            str![[r#"
40 of 40 accepted in [..] ms
       40  204
latency in ms: p50 [..], p90 [..], p99 [..], max [..]
exit code: 0

"#]]
        );
        let events = receiver.handled();
        let sessions: HashSet<_> = events.iter().filter_map(Event::session_token).collect();
        assert_eq!(sessions.len(), 40);
    })
    .await;
}

#[tokio::test]
async fn many_deliveries_are_shown_as_json() {
    within_a_minute(async {
        let receiver = Receiver::answering(StatusCode::INTERNAL_SERVER_ERROR).await;
        let triggered = trigger(&receiver.url, &["auth.cancelled", "--count=3", "--json"]).await;
        assert_eq!(triggered.code, Some(1));
        let [deliveries @ .., last] = &triggered.json()[..] else { panic!("{triggered}") };
        assert_eq!(deliveries.len(), 3);
        for (delivery, event) in deliveries.iter().zip(receiver.handled()) {
            assert_eq!(delivery["session_token"], event.session_token().unwrap());
            assert_eq!(delivery["status"], 500);
            assert!(delivery["latency_ms"].is_f64());
        }
        let summary = &last["summary"];
        assert_eq!((&summary["deliveries"], &summary["accepted"]), (&json!(3), &json!(0)));
        assert_eq!(summary["outcomes"], json!({ "500": 3 }));
        assert!(summary["latency_ms"]["p99"].is_f64());
    })
    .await;
}

#[tokio::test]
async fn many_deliveries_of_one_session_are_handled_once() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let args = ["auth.cancelled", "--session-token=s", "--count=5", "--concurrency=5"];
        assert_eq!(trigger(&receiver.url, &args).await.code, Some(0));
        assert_eq!(receiver.handled().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_given_body_is_sent_byte_for_byte() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| StatusCode::OK).await;
        let body = b"{\"event\": \"auth.new\"}\r\n\xff".as_slice();
        let triggered = run_with(&["trigger", "--url", &url, "--body", "-"], body).await;
        assert_eq!(triggered.code, Some(0), "{triggered}");
        let [(headers, received)] = &recorder.requests()[..] else { panic!("one request") };
        assert_eq!(received, body);
        assert_eq!(headers["content-type"], "application/json");
        let signed = run_with(&["sign"], body).await.stdout;
        assert_eq!(headers["x-bondify-signature"], signed.trim());
    })
    .await;
}

#[tokio::test]
async fn contradictory_options_are_refused() {
    within_a_minute(async {
        let url = "http://127.0.0.1:9";
        for args in [
            &[][..],
            &["auth.expired"],
            &["auth.confirmed", "--count", "0"],
            &["auth.confirmed", "--concurrency", "0"],
            &["auth.confirmed", "--telegram-id", "ada"],
            &["auth.confirmed", "--timeout", "soon"],
            &["auth.confirmed", "--fault", "nonsense"],
            &["auth.cancelled", "--username", "ada"],
            &["--body", "-", "--session-token", "s"],
            &["--body", "-", "--fault", "stale-timestamp"],
            &["--body", "-", "--fault", "unknown-event"],
        ] {
            let refused = trigger(url, args).await;
            assert_eq!((refused.code, &*refused.stdout), (Some(2), ""), "{args:?}");
            assert!(refused.stderr.starts_with("error: "), "{refused}");
        }
        for url in ["", "localhost:3000", "ftp://localhost"] {
            assert_eq!(trigger(url, &["auth.confirmed"]).await.code, Some(2), "{url}");
        }
    })
    .await;
}

#[tokio::test]
async fn duplicates_are_handled_once() {
    within_a_minute(async {
        for fault in ["duplicate", "concurrent-duplicate"] {
            let receiver = Receiver::start().await;
            let args = ["auth.confirmed", "--fault", fault, "--json"];
            let triggered = trigger(&receiver.url, &args).await;
            assert_eq!(triggered.code, Some(0), "{triggered}");
            assert_eq!(receiver.handled().len(), 1);
            let [first, second, _] = &triggered.json()[..] else { panic!("{triggered}") };
            let bodies =
                HashSet::from([first, second].map(|answer| answer["body"].as_str().unwrap()));
            assert_eq!(bodies, HashSet::from(["", r#"{"status":"duplicate"}"#]));
        }
    })
    .await;
}

#[tokio::test]
async fn the_second_of_a_duplicate_follows_the_answer_to_the_first() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| StatusCode::OK).await;
        trigger(&url, &["auth.confirmed", "--fault", "duplicate"]).await;
        let [(first, one), (second, other)] = &recorder.requests()[..] else { panic!("two") };
        assert_eq!(one, other);
        assert_eq!(first["x-bondify-signature"], second["x-bondify-signature"]);
    })
    .await;
}

#[tokio::test]
async fn deliveries_with_a_wrong_signature_are_refused() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        for (fault, code) in [
            ("tampered-body", "INVALID_SIGNATURE"),
            ("wrong-secret", "INVALID_SIGNATURE"),
            ("stale-timestamp", "STALE_EVENT"),
        ] {
            let refused = trigger(&receiver.url, &["auth.cancelled", "--fault", fault]).await;
            assert_eq!(refused.code, Some(1), "{fault}");
            assert!(refused.stdout.contains(&format!(r#""code":"{code}""#)), "{refused}");
        }
        assert!(receiver.handled().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_unknown_event_reaches_the_handler() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let triggered = trigger(&receiver.url, &["auth.confirmed", "--fault=unknown-event"]).await;
        assert_eq!(triggered.code, Some(0));
        let [Event::Unknown(event)] = &receiver.handled()[..] else { panic!("one unknown event") };
        assert_eq!(event.name(), "auth.unknown_test");
        assert!(event.occurred_at() > SystemTime::now().checked_sub(Duration::from_secs(3600)));
    })
    .await;
}

#[tokio::test]
async fn a_dropped_connection_is_no_answer() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        assert_data_eq!(
            trigger(&receiver.url, &["auth.confirmed", "--fault=drop-connection"])
                .await
                .to_string(),
            str![[r#"
no answer: cut off half-way through the request
exit code: 1

"#]]
        );
        assert!(receiver.handled().is_empty());
    })
    .await;
}
