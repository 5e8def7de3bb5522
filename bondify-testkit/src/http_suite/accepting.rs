use bondify_core::{Claimed, Event, SIGNATURE_HEADER};

use super::{
    adapter::{Adapter, PATH},
    rig::{Rig, assert_handled, confirmed, response, secret},
};
use crate::{Call, Payload, WebhookRequest};

/// The handler answers 200, and the store completes the event.
pub async fn a_signed_event_is_handled_and_completed<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    assert_handled(&rig.post(&confirmed()).await);
    let calls = rig.store.calls();
    let [Call::Claim(Claimed::Acquired(_)), Call::Complete(true)] = calls[..] else {
        panic!("{calls:?}");
    };
    assert_eq!(rig.script.progress().finished, 1);
}

/// The handler gets the bytes that were sent.
pub async fn an_event_keeps_its_bytes<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = Payload::confirmed()
        .telegram_id("7123456789")
        .telegram_name("İlker \"🦀\" العربية")
        .telegram_username(None)
        .field("new_field", "kept")
        .signed_with(&secret());
    assert_handled(&rig.post(&request).await);
    let [event] = &rig.script.progress().started[..] else { panic!("one event was handled") };
    assert_eq!(event.raw(), request.body());
    let Event::Confirmed(login) = event else { panic!("{event:?}") };
    assert_eq!(login.user().id().to_i64(), Some(7_123_456_789));
    assert_eq!(login.user().name(), "İlker \"🦀\" العربية");
    assert_eq!(login.user().username(), None);
}

/// The content type is `application/json; charset=utf-8`.
pub async fn a_charset_parameter_is_accepted<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request =
        confirmed().without("content-type").with("content-type", "application/json; charset=utf-8");
    assert_handled(&rig.post(&request).await);
}

/// The official SDK decodes the digits in either case.
pub async fn an_upper_case_signature_is_accepted<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    assert_handled(&rig.post(&confirmed().signature_as(str::to_uppercase)).await);
}

/// HTTP trims header values.
pub async fn whitespace_around_the_signature_is_ignored<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = confirmed().signature_as(|signature| format!("  {signature} \t"));
    assert_handled(&rig.post(&request).await);
}

/// Two equal signature headers do not conflict.
pub async fn a_repeated_signature_is_accepted<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = confirmed();
    let signature = request.signature().to_owned();
    assert_handled(&rig.post(&request.with(SIGNATURE_HEADER, signature)).await);
}

/// A body may have no `content-length`.
pub async fn a_body_in_chunks_is_accepted<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let mut connection = rig.open().await;
    connection.send(&confirmed().to_http1_chunked(PATH, 7)).await.expect("the server reads");
    assert_handled(&response(connection).await);
}

/// A body of exactly the limit is accepted.
pub async fn a_body_that_fills_the_limit_is_accepted<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let body = Payload::confirmed().to_body();
    let padding = " ".repeat(rig.bondify.body_limit() - body.len());
    let padded = [&body[..], padding.as_bytes()].concat();
    assert_handled(&rig.post(&WebhookRequest::signed(padded, &secret())).await);
}

/// The handler gets its name, session token and JSON.
pub async fn an_unknown_event_reaches_the_handler<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = Payload::unknown("auth.renamed").signed_with(&secret());
    assert_handled(&rig.post(&request).await);
    let [event] = &rig.script.progress().started[..] else { panic!("one event was handled") };
    let Event::Unknown(unknown) = event else { panic!("{event:?}") };
    assert_eq!(unknown.name(), "auth.renamed");
    assert!(unknown.session_token().is_some_and(|token| token.starts_with("sess_")));
    assert_eq!(unknown.raw(), request.body());
}
