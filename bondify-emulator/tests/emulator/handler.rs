//! Logins that end in a handler: a `Bondify` receives the deliveries of the emulator.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bondify_core::{
    Bondify, Event, ProofVerifier,
    adapter::{self, Head},
};
use bondify_emulator::{
    Builder, DeliveryState, Emulator, Fault, Outcome, Persona, Plan, ProjectSettings,
};
use bondify_testkit::within_a_minute;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};

use crate::support::{RawReceiver, SHOP, shop, start};

/// An emulator, and an app that receives its deliveries.
struct Login {
    emulator: Emulator,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Login {
    /// Starts both. `status` returns the status of an answer; its argument is the number of events that the
    /// app has handled before.
    async fn start(builder: Builder, status: fn(usize) -> StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/bondify", listener.local_addr().unwrap());
        let emulator = start(builder, ProjectSettings::new().webhook_url(url)).await;
        let bondify = Bondify::builder(shop(&emulator).secret()).build().unwrap();
        let (handled, events) = mpsc::unbounded_channel();
        let count = Arc::new(AtomicUsize::new(0));
        let on_event = async move |event: Event| {
            handled.send(event).unwrap();
            status(count.fetch_add(1, Ordering::Relaxed))
        };
        let webhook = post(async move |request| receive(&bondify, request, on_event).await);
        let app = Router::new().route("/webhooks/bondify", webhook);
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { emulator, events }
    }

    fn confirm(&self) -> String {
        let token = self.emulator.generate(SHOP).unwrap().token;
        self.emulator.confirm(&token, Persona::default()).unwrap();
        token
    }
}

/// Not by `bondify-axum`, whose client depends on this crate for its tests.
async fn receive<F>(
    bondify: &Bondify,
    request: Request,
    on_event: impl FnOnce(Event) -> F,
) -> Response
where
    F: Future<Output = StatusCode> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let head = Head::of(&parts);
    let served = bondify.serve(head, body.into_data_stream(), on_event, StatusCode::as_u16).await;
    served.map_or_else(adapter::response, StatusCode::into_response)
}

fn accept(_: usize) -> StatusCode {
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn a_confirmation_reaches_the_handler() {
    within_a_minute(async {
        let mut login = Login::start(Emulator::builder(), accept).await;
        for persona in Persona::samples() {
            let token = login.emulator.generate(SHOP).unwrap().token;
            login.emulator.confirm(&token, persona.clone()).unwrap();
            let delivery = login.emulator.delivery_of(&token).await.unwrap();
            assert_eq!(delivery.state, DeliveryState::Delivered, "{delivery:?}");
            let event = login.events.recv().await.unwrap();
            let Event::Confirmed(confirmed) = event else { panic!("{event}") };
            assert_eq!(confirmed.session_token(), token);
            assert_eq!(confirmed.user().id().as_str(), persona.telegram_id);
            assert_eq!(confirmed.user().name(), persona.telegram_name);
            assert_eq!(confirmed.user().username(), persona.telegram_username.as_deref());
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_delivered_twice_is_handled_once() {
    within_a_minute(async {
        let mut login = Login::start(Emulator::builder(), accept).await;
        for fault in [Fault::Duplicate, Fault::ConcurrentDuplicate] {
            login.emulator.set_faults(SHOP, [fault]).unwrap();
            let token = login.confirm();
            login.emulator.delivery_of(&token).await.unwrap();
            let deliveries = login.emulator.deliveries();
            let [copy, original] = &deliveries[..2] else { panic!("two of them") };
            assert_eq!((&copy.session_token, &original.session_token), (&token, &token));
            let copy = login.emulator.finished(copy.id).await.unwrap();
            assert_eq!(copy.state, DeliveryState::Delivered, "{fault}: {copy:?}");
            assert_eq!(login.events.recv().await.unwrap().session_token(), Some(&*token));
        }
        assert!(login.events.is_empty());
    })
    .await;
}

#[tokio::test]
async fn faulty_deliveries_are_refused_by_a_receiver() {
    within_a_minute(async {
        let login = Login::start(Emulator::builder().retries(0), accept).await;
        for fault in [Fault::TamperedBody, Fault::WrongSecret, Fault::StaleTimestamp] {
            login.emulator.set_faults(SHOP, [fault]).unwrap();
            let delivery = login.emulator.delivery_of(&login.confirm()).await.unwrap();
            assert_eq!(delivery.attempts[0].outcome.status(), Some(401), "{fault}");
        }
        assert!(login.events.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_fails_gets_the_event_again() {
    within_a_minute(async {
        let fails_twice = |handled| match handled {
            0 | 1 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        };
        let builder = Emulator::builder().retry_base(Duration::from_millis(5));
        let login = Login::start(builder, fails_twice).await;
        let delivery = login.emulator.delivery_of(&login.confirm()).await.unwrap();
        let statuses: Vec<_> =
            delivery.attempts.iter().filter_map(|attempt| attempt.outcome.status()).collect();
        assert_eq!(statuses, [500, 500, 200]);
    })
    .await;
}

// The sessions are generated over HTTP, confirmed all at once, and polled over HTTP while their events are
// delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_at_once() {
    within_a_minute(async {
        const COUNT: usize = 1_000;
        let mut login = Login::start(Emulator::builder(), accept).await;
        let emulator = &login.emulator;
        let client = reqwest::Client::new();
        let call = async |path: &str, body: serde_json::Value| -> serde_json::Value {
            let url = format!("{}/api/v1/{path}/public", emulator.url());
            let response = client.post(url).body(body.to_string()).send().await.unwrap();
            serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
        };
        let tokens: Vec<String> = stream::iter(0..COUNT)
            .map(async |_| {
                let session = call("generate", json!({"project_id": SHOP})).await;
                session["session_token"].as_str().unwrap().to_owned()
            })
            .buffer_unordered(50)
            .collect()
            .await;
        for (number, token) in tokens.iter().enumerate() {
            let persona = Persona::new(number.to_string(), "Ada");
            emulator.confirm(token, persona).unwrap();
        }
        let proofs = ProofVerifier::new(shop(emulator).secret()).project(SHOP);
        stream::iter(tokens.iter().enumerate())
            .for_each_concurrent(50, async |(number, token)| {
                let verify = json!({"project_id": SHOP, "session_token": token});
                let answer = call("verify", verify).await;
                let proof = proofs.verify(answer["proof"].as_str().unwrap()).unwrap();
                assert_eq!(proof.user().id().as_str(), number.to_string());
                assert_eq!(proof.session_token(), token);
            })
            .await;

        let mut delivered = HashSet::new();
        while delivered.len() < COUNT {
            let event = login.events.recv().await.unwrap();
            assert!(delivered.insert(event.session_token().unwrap().to_owned()), "once each");
        }
        assert_eq!(delivered, tokens.into_iter().collect());
    })
    .await;
}

#[tokio::test]
async fn no_event_is_lost_while_the_receiver_fails_often() {
    within_a_minute(async {
        const COUNT: usize = 40;
        let receiver = RawReceiver::start().await;
        let settings = ProjectSettings::new().webhook_url(receiver.url()).plan(Plan::Pro);
        let builder = Emulator::builder()
            .priority_retries(10_000)
            .retry_base(Duration::from_millis(5))
            .retry_factor(1.0);
        let emulator = start(builder, settings).await;
        let tokens: Vec<_> = (0..COUNT)
            .map(|_| {
                let token = emulator.generate(SHOP).unwrap().token;
                emulator.confirm(&token, Persona::default()).unwrap();
                token
            })
            .collect();
        // It fails ten times out of twelve: it closes the connection, answers 503, or breaks off its answer.
        let serve = async {
            for number in 0.. {
                match number % 12 {
                    0 | 5 => drop(receiver.answer_status(200).await),
                    1..=4 => drop(receiver.accept().await),
                    6..=8 => drop(receiver.answer_status(503).await),
                    _ => drop(receiver.answer("HTTP/1.1 2").await),
                }
            }
        };
        let all_delivered = async {
            for token in &tokens {
                let delivery = emulator.delivery_of(token).await.unwrap();
                assert_eq!(delivery.state, DeliveryState::Delivered);
                let attempts = &delivery.attempts[..];
                let (last, failed) = attempts.split_last().unwrap();
                assert_eq!(last.outcome.status(), Some(200));
                assert!(failed.iter().all(|attempt| !attempt.outcome.is_success()));
            }
        };
        tokio::select! {
            () = all_delivered => {}
            () = serve => unreachable!(),
        }
        let outcomes = emulator.deliveries();
        let outcomes = outcomes.iter().flat_map(|delivery| &delivery.attempts);
        let disconnected =
            outcomes.filter(|attempt| matches!(attempt.outcome, Outcome::Disconnected { .. }));
        assert!(disconnected.count() > 0);
    })
    .await;
}
