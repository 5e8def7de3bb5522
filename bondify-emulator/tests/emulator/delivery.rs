use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use bondify_core::{Secret, Verifier};
use bondify_emulator::{
    Builder, Change, Delivery, DeliveryState, Emulator, Error, Fault, Outcome, Persona,
    ProjectSettings, Url,
};
use bondify_testkit::within_a_minute;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::yield_now,
};

use crate::support::{RawReceiver, SHOP, shop, start};

fn once() -> Builder {
    Emulator::builder().retries(0)
}

/// Confirms a session of a project with that webhook URL.
async fn confirm(builder: Builder, url: impl Into<String>) -> (Emulator, String) {
    let emulator = start(builder, ProjectSettings::new().webhook_url(url)).await;
    let token = emulator.generate(SHOP).unwrap().token;
    emulator.confirm(&token, Persona::default()).unwrap();
    (emulator, token)
}

/// The outcome of a single attempt to that URL.
async fn outcome(builder: Builder, url: impl Into<String>) -> Outcome {
    let (emulator, token) = confirm(builder, url).await;
    let delivery = emulator.delivery_of(&token).await.unwrap();
    let [attempt] = &delivery.attempts[..] else { panic!("one attempt: {delivery:?}") };
    assert_eq!(delivery.state == DeliveryState::Delivered, attempt.outcome.is_success());
    attempt.outcome.clone()
}

#[tokio::test]
async fn an_attempt_records_exactly_the_sent_request() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let (emulator, token) = confirm(once(), receiver.url()).await;
        let sent = receiver.answer_status(200).await;
        let delivery = emulator.delivery_of(&token).await.unwrap();

        assert_eq!(delivery.body, sent.body);
        let mut lines = sent.head.split("\r\n");
        assert_eq!(lines.next(), Some("POST /hook?from=bondify HTTP/1.1"));
        let recorded = delivery.attempts[0].request_headers.iter();
        let recorded: Vec<_> = recorded.map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(lines.collect::<Vec<_>>(), recorded);

        assert!(recorded.contains(&"content-type: application/json".to_owned()));
        assert!(recorded.contains(&format!("x-bondify-signature: {}", delivery.signature)));
        let verifier = Verifier::new(shop(&emulator).secret());
        let event = verifier.verify(delivery.body.clone(), &delivery.signature).unwrap();
        assert_eq!(event.session_token(), Some(&*token));
    })
    .await;
}

#[tokio::test]
async fn the_answer_is_recorded() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let (emulator, token) = confirm(once(), receiver.url()).await;
        let answer = "HTTP/1.1 418 Teapot\r\nx-tea: oolong\r\ncontent-length: 5\r\n\r\nshort";
        receiver.answer(answer).await;
        let delivery = emulator.delivery_of(&token).await.unwrap();
        let Outcome::Answered { status, response_headers, response_body } =
            &delivery.attempts[0].outcome
        else {
            panic!("answered: {delivery:?}");
        };
        assert_eq!((*status, &**response_body), (418, "short"));
        let headers = [("x-tea", "oolong"), ("content-length", "5")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(response_headers[..], headers);
    })
    .await;
}

#[tokio::test]
async fn a_body_without_an_end_is_recorded_in_part() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let (emulator, token) = confirm(once(), receiver.url()).await;
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(200_000));
        let serve = async {
            let mut request = receiver.accept().await;
            // The emulator closes the connection once it has read enough.
            let _ = request.stream.write_all(endless.as_bytes()).await;
            pending::<()>().await;
        };
        let delivery = tokio::select! {
            delivery = emulator.delivery_of(&token) => delivery.unwrap(),
            () = serve => unreachable!(),
        };
        let Outcome::Answered { status: 200, response_body, .. } = &delivery.attempts[0].outcome
        else {
            panic!("answered: {delivery:?}");
        };
        assert_eq!(response_body.len(), 64 * 1024);
    })
    .await;
}

#[tokio::test]
async fn only_2xx_is_success() {
    within_a_minute(async {
        for status in [200, 201, 204, 299, 300, 302, 304, 308, 400, 401, 409, 429, 500, 503] {
            let receiver = RawReceiver::start().await;
            let (outcome, _) =
                tokio::join!(outcome(once(), receiver.url()), receiver.answer_status(status));
            assert_eq!(outcome.status(), Some(status));
            assert_eq!(outcome.is_success(), status < 300, "{status}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_a_failure() {
    within_a_minute(async {
        let (receiver, elsewhere) = (RawReceiver::start().await, RawReceiver::start().await);
        let redirect = format!(
            "HTTP/1.1 307 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        );
        let attempt = outcome(once(), receiver.url());
        tokio::select! {
            (outcome, _) = async { tokio::join!(attempt, receiver.answer(&redirect)) } => {
                assert_eq!(outcome.status(), Some(307));
            }
            _ = elsewhere.accept() => panic!("the redirect was followed"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_time_out_is_a_failure() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let builder = once().timeout(Duration::from_millis(50));
        let accept_and_say_nothing = async {
            let _request = receiver.accept().await;
            pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = outcome(builder, receiver.url()) => outcome,
            () = accept_and_say_nothing => unreachable!(),
        };
        assert_eq!(outcome, Outcome::TimedOut);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_refused_or_breaks_off_is_a_failure() {
    within_a_minute(async {
        // Bound, so that no other process can take the port, but not listening.
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/", nobody.local_addr().unwrap());
        let refused = outcome(once(), url).await;
        let Outcome::Disconnected { reason } = &refused else { panic!("{refused:?}") };
        assert!(reason.contains("refused"), "{reason}");

        let receiver = RawReceiver::start().await;
        let (cut, _) = tokio::join!(outcome(once(), receiver.url()), async {
            drop(receiver.accept().await);
        });
        assert!(matches!(cut, Outcome::Disconnected { .. }), "{cut:?}");
        let receiver = RawReceiver::start().await;
        let (nonsense, _) =
            tokio::join!(outcome(once(), receiver.url()), receiver.answer("what?\r\n\r\n"));
        assert!(matches!(nonsense, Outcome::Disconnected { .. }), "{nonsense:?}");
    })
    .await;
}

#[tokio::test]
async fn only_loopback_is_delivered_to() {
    within_a_minute(async {
        // Addresses that are reserved for documentation. The emulator connects to none of them.
        for url in ["https://192.0.2.1/hook", "https://[2001:db8::1]/"] {
            assert_eq!(outcome(once(), url).await, Outcome::NotLoopback, "{url}");
        }
        let receiver = RawReceiver::start().await;
        for name in ["localhost", "app.localhost", "0.0.0.0"] {
            let url = receiver.url().replace("127.0.0.1", name);
            let (outcome, _) = tokio::join!(outcome(once(), url), receiver.answer_status(200));
            assert!(outcome.is_success(), "{name}: {outcome:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_blocked_url_is_known_before_a_delivery() {
    within_a_minute(async {
        let blocked = ["https://192.0.2.1/hook", "https://[2001:db8::1]/"];
        let allowed = ["http://localhost:1/", "http://[::1]/", "http://app.localhost/"];
        let emulator = Emulator::builder().start().await.unwrap();
        let remote = Emulator::builder().allow_remote_delivery().start().await.unwrap();
        for url in blocked.into_iter().chain(allowed) {
            let url = Url::parse(url).unwrap();
            assert_eq!(emulator.blocks(&url).await, blocked.contains(&url.as_str()), "{url}");
            assert!(!remote.blocks(&url).await, "{url}");
        }
    })
    .await;
}

#[tokio::test]
async fn other_addresses_can_be_allowed() {
    within_a_minute(async {
        let builder = once().allow_remote_delivery().timeout(Duration::from_millis(50));
        assert_ne!(outcome(builder, "http://192.0.2.1:1/").await, Outcome::NotLoopback);
    })
    .await;
}

// Only asserts that no retry is early, because a busy machine can be late.
#[tokio::test]
async fn no_retry_starts_before_its_delay() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let builder = Emulator::builder().retry_base(Duration::from_millis(40)).retry_factor(3.0);
        let (emulator, token) = confirm(builder, receiver.url()).await;
        let mut requests = Vec::new();
        let mut times = Vec::new();
        for status in [500, 302, 204] {
            requests.push(receiver.answer_status(status).await);
            times.push(Instant::now());
        }
        assert!(times[1] - times[0] >= Duration::from_millis(39));
        assert!(times[2] - times[1] >= Duration::from_millis(119));
        let sent = |index: usize| (&requests[index].head, &requests[index].body);
        assert!(sent(0) == sent(1) && sent(1) == sent(2), "the same to the byte");
        let delivery = emulator.delivery_of(&token).await.unwrap();
        assert_eq!(delivery.state, DeliveryState::Delivered);
        assert_eq!(delivery.attempts.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_dropped_half_way_on_purpose() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let faulty = [Fault::DropConnection];
        let settings = ProjectSettings::new().webhook_url(receiver.url()).faults(faulty);
        let emulator = start(once(), settings).await;
        let delivery = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
        let (cut, finished) = tokio::join!(receiver.accept(), emulator.finished(delivery.id));
        let finished = finished.unwrap();
        assert_eq!(finished.attempts[0].outcome, Outcome::Dropped);
        assert_eq!(cut.body, finished.body[..finished.body.len() / 2]);
        assert!(cut.head.contains(&finished.signature));
    })
    .await;
}

#[tokio::test]
async fn faults_are_for_one_project_and_can_be_switched_off() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let settings = ProjectSettings::new().webhook_url(receiver.url()).secret("whsec_shop");
        let emulator = start(Emulator::builder(), settings.clone()).await;
        emulator.add_project(settings.id("proj_blog")).unwrap();
        let verifier = Verifier::new(Secret::new("whsec_shop").unwrap());
        let verifies = async |project: &str| {
            let sent = emulator.send_test_event(project, "auth.confirmed").unwrap();
            receiver.answer_status(200).await;
            let delivery: Arc<Delivery> = emulator.finished(sent.id).await.unwrap();
            verifier.verify(delivery.body.clone(), &delivery.signature).is_ok()
        };
        emulator.set_faults(SHOP, [Fault::TamperedBody]).unwrap();
        assert!(!verifies(SHOP).await);
        assert!(verifies("proj_blog").await);
        emulator.set_faults(SHOP, []).unwrap();
        assert!(verifies(SHOP).await);
    })
    .await;
}

#[tokio::test]
async fn waiting_for_a_delivery_that_will_never_exist_is_an_error() {
    within_a_minute(async {
        let settings = ProjectSettings::new().webhook_url("http://localhost:1/");
        let builder = Emulator::builder().session_lifetime(Duration::from_millis(50));
        let emulator = start(builder, settings).await;
        let token = emulator.generate(SHOP).unwrap().token;
        let expired = emulator.delivery_of(&token).await;
        assert_eq!(expired.unwrap_err(), Error::DeliveryNotFound);
        assert_eq!(emulator.delivery_of("sess_x").await.unwrap_err(), Error::SessionNotFound);
    })
    .await;
}

#[tokio::test]
async fn a_reset_ends_attempts_and_waits() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let patient = Emulator::builder().timeout(Duration::from_secs(3600));
        let (emulator, token) = confirm(patient, receiver.url()).await;
        let (waited, ()) = tokio::join!(emulator.delivery_of(&token), async {
            let mut request = receiver.accept().await;
            emulator.reset();
            let _ = request.stream.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(waited.unwrap_err(), Error::DeliveryNotFound);
    })
    .await;
}

#[tokio::test]
async fn dropping_the_emulator_stops_it() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let (emulator, _) = confirm(Emulator::builder(), receiver.url()).await;
        let mut request = receiver.accept().await;
        let address = emulator.address();
        drop(emulator);
        // The attempt was cancelled, and the port is free.
        let _ = request.stream.read_to_end(&mut Vec::new()).await;
        while TcpListener::bind(address).await.is_err() {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_is_free_once_the_emulator_has_stopped() {
    within_a_minute(async {
        let emulator = Emulator::builder().start().await.unwrap();
        let address = emulator.address();
        emulator.stop().await;
        let again = Emulator::builder().port(address.port()).start().await.unwrap();
        assert_eq!(again.address(), address);
    })
    .await;
}

#[tokio::test]
async fn changes_report_the_progress_of_a_delivery() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let settings = ProjectSettings::new().webhook_url(receiver.url());
        let emulator = start(once(), settings).await;
        let mut changes = emulator.changes();
        emulator.send_test_event(SHOP, "auth.cancelled").unwrap();
        receiver.answer_status(500).await;
        let mut states = Vec::new();
        while states.last() != Some(&DeliveryState::Failed) {
            let Some(Change::Delivery(delivery)) = changes.next().await else {
                panic!("deliveries only")
            };
            states.push(delivery.state);
        }
        let [DeliveryState::Queued { .. }, DeliveryState::Sending, DeliveryState::Failed] =
            states[..]
        else {
            panic!("{states:?}")
        };
    })
    .await;
}
