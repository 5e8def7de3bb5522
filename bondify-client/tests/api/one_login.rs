//! One login has the same event and key, whichever way it arrives.

#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use std::time::{Duration, SystemTime};

use bondify_client::{SessionStatus, TelegramUser};
use bondify_core::{Event, ProofVerifier, Secret, Verifier};
use bondify_testkit::{Answer, Payload, ScriptedServer, within_a_minute};
use serde_json::{Value, json};

use crate::{PROJECT, TOKEN, client};

const CREATED_AT: u64 = 1_700_000_000_000;
const TAPPED_AT: u64 = 1_700_000_000_123;

fn time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

/// The event of a signed delivery.
fn delivered(payload: Payload) -> Event {
    let sent = payload.session_token(TOKEN).at(time(TAPPED_AT)).signed_with(&secret());
    let verifier = Verifier::new(secret()).tolerance(Duration::MAX);
    verifier.verify(sent.body().clone(), sent.signature()).unwrap()
}

/// The login's fields in every response, with changes.
fn fields(changes: Value) -> Value {
    let mut fields = json!({
        "session_token": TOKEN, "project_id": PROJECT, "project_name": "Shop",
        "status": "confirmed", "telegram_id": "7123456789", "telegram_name": "Ada",
        "telegram_username": null, "proof": "a.b.c", "created_at": CREATED_AT,
        "confirmed_at": TAPPED_AT,
    });
    let changes = changes.as_object().unwrap().clone();
    fields.as_object_mut().unwrap().extend(changes);
    fields
}

async fn polled(changes: Value) -> Event {
    let server = ScriptedServer::start([Answer::json(200, fields(changes))]).await;
    match client(&server).sessions(PROJECT).status(TOKEN).await.unwrap() {
        SessionStatus::Confirmed(login) | SessionStatus::Used(Some(login)) => {
            assert_eq!(login.session_token(), TOKEN);
            login.event()
        }
        other => panic!("{other:?}"),
    }
}

async fn listed(changes: Value) -> Option<Event> {
    let answer = json!({"sessions": [fields(changes)]});
    let server = ScriptedServer::start([Answer::json(200, answer)]).await;
    let developer = client(&server).developer("token").unwrap();
    developer.sessions().await.unwrap().records.remove(0).event()
}

fn proven() -> Event {
    let claims = Payload::proof()
        .session_token(TOKEN)
        .telegram_id("7123456789")
        .telegram_name("Ada")
        .telegram_username(None)
        .at(time(TAPPED_AT));
    let verifier = ProofVerifier::new(secret());
    Event::from(&verifier.verify(&claims.proof_signed_with(&secret())).unwrap())
}

fn confirmed() -> Payload {
    Payload::confirmed().telegram_id("7123456789").telegram_name("Ada").telegram_username(None)
}

#[tokio::test]
async fn a_webhook_a_poll_a_proof_a_record_and_a_queue_give_one_event() {
    within_a_minute(async {
        let webhook = delivered(confirmed());
        for event in [
            polled(json!({})).await,
            polled(json!({"status": "used"})).await,
            listed(json!({})).await.unwrap(),
            listed(json!({"status": "used"})).await.unwrap(),
            proven(),
            Event::from_trusted(webhook.raw().clone()).unwrap(),
        ] {
            assert_eq!((event.key(), event.name()), (webhook.key(), webhook.name()));
            assert_eq!(event.user(), webhook.user());
            assert_eq!(event.occurred_at(), Some(time(TAPPED_AT)));
            let again = Event::from_trusted(event.raw().clone()).unwrap();
            assert_eq!((again.key(), again.user()), (webhook.key(), webhook.user()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_in_the_list_is_as_old_as_its_session() {
    within_a_minute(async {
        let webhook = delivered(Payload::cancelled());
        let event = listed(json!({"status": "cancelled", "confirmed_at": null})).await.unwrap();
        assert_eq!(event.key(), webhook.key());
        assert_eq!(event.occurred_at(), Some(time(CREATED_AT)));
        let timed = listed(json!({"status": "cancelled", "cancelled_at": TAPPED_AT})).await;
        assert_eq!(timed.unwrap().occurred_at(), webhook.occurred_at());
    })
    .await;
}

#[tokio::test]
async fn a_session_in_progress_is_not_an_event() {
    within_a_minute(async {
        for status in ["pending", "expired", "paused"] {
            assert_eq!(listed(json!({ "status": status })).await, None, "{status}");
        }
    })
    .await;
}

#[tokio::test]
async fn fields_that_the_list_lacks_are_absent() {
    within_a_minute(async {
        let nobody = listed(json!({"telegram_id": null})).await;
        assert_eq!(nobody, None);
        let bare = listed(json!({"telegram_name": null, "confirmed_at": null})).await.unwrap();
        assert_eq!(bare.user().map(TelegramUser::name), Some(""));
        assert_eq!(bare.occurred_at(), Some(time(CREATED_AT)));
    })
    .await;
}

#[tokio::test]
async fn a_poll_without_a_time_has_the_time_of_the_response() {
    within_a_minute(async {
        let before = SystemTime::now() - Duration::from_millis(1);
        let event = polled(json!({"confirmed_at": null})).await;
        let at = event.occurred_at().unwrap();
        assert!((before..=SystemTime::now()).contains(&at), "{at:?}");
    })
    .await;
}

#[tokio::test]
async fn a_numeric_id_is_the_same_id_to_the_last_digit() {
    within_a_minute(async {
        let huge = 9_007_199_254_740_993_u64;
        let webhook = delivered(confirmed().telegram_id(huge.to_string()));
        let changes = json!({ "telegram_id": huge });
        let sent = delivered(confirmed().field("telegram_id", huge));
        for event in [polled(changes.clone()).await, listed(changes).await.unwrap(), sent] {
            assert_eq!(event.user(), webhook.user());
        }
    })
    .await;
}
