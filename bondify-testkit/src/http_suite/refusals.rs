use std::time::Duration;

use bondify_core::{SIGNATURE_HEADER, Secret, Verifier};

use super::{
    adapter::{Adapter, Attached, Body, PATH},
    rig::{COMPLETED, Rig, assert_handled, assert_reply, confirmed, get, response, secret},
};
use crate::{Payload, WebhookRequest};

/// The response is 415 without a content type and with another one.
pub async fn a_body_that_is_not_json_typed_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let untyped = confirmed().without("content-type");
    rig.refuses(&untyped, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let text = untyped.with("content-type", "text/plain");
    rig.refuses(&text, 415, "UNSUPPORTED_MEDIA_TYPE").await;
}

fn oversized(rig: &Rig) -> WebhookRequest {
    let padding = "x".repeat(rig.bondify.body_limit());
    Payload::confirmed().field("padding", padding).signed_with(&secret())
}

/// The response is 413, although the body is signed.
pub async fn an_oversized_body_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.refuses(&oversized(&rig), 413, "PAYLOAD_TOO_LARGE").await;
}

/// The response is 413 without a `content-length` too.
pub async fn an_oversized_body_in_chunks_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let mut connection = rig.open().await;
    let bytes = oversized(&rig).to_http1_chunked(PATH, 10_000);
    connection.send(&bytes).await.expect("the server reads");
    assert_reply(&response(connection).await, 413, "PAYLOAD_TOO_LARGE");
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}

/// The response is 400 to a body in malformed chunks.
pub async fn a_broken_body_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = Payload::confirmed().field("padding", "x".repeat(2000)).signed_with(&secret());
    let bytes = request.to_http1_chunked(PATH, 1000);
    let size_of_the_second = b"\r\n3e8\r\n";
    let second = bytes.windows(7).rposition(|it| it == size_of_the_second).expect("a chunk");
    let broken = [&bytes[..second], b"\r\nno size\r\n"].concat();
    let mut connection = rig.open().await;
    connection.send(&broken).await.expect("the server reads");
    let response = response(connection).await;
    if A::ANSWERS_BROKEN_BODIES {
        assert_eq!(response.status, 400, "{response:?}");
    } else {
        assert_reply(&response, 400, "UNREADABLE_BODY");
    }
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}

/// The response is 401.
pub async fn a_missing_signature_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.refuses(&confirmed().without(SIGNATURE_HEADER), 401, "MISSING_SIGNATURE").await;
}

/// The response is 401.
pub async fn a_wrong_secret_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let wrong = Secret::new("whsec_another").expect("a valid secret");
    let forged = Payload::confirmed().signed_with(&wrong);
    rig.refuses(&forged, 401, "INVALID_SIGNATURE").await;
}

/// The response is 401, although only a space was added.
pub async fn a_tampered_body_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.refuses(&confirmed().tampered(), 401, "INVALID_SIGNATURE").await;
}

/// The response is 401 to a signature that is not 64 hexadecimal digits.
pub async fn a_malformed_signature_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let forms: [fn(&str) -> String; 6] = [
        |_| String::new(),
        |signature| signature[..62].to_owned(),
        |signature| signature[..63].to_owned(),
        |signature| format!("{signature}00"),
        |signature| format!("sha256={signature}"),
        |signature| format!("{signature}, {signature}"),
    ];
    for form in forms {
        rig.refuses(&confirmed().signature_as(form), 401, "INVALID_SIGNATURE").await;
    }
}

/// The response is 401 in either order of the headers.
pub async fn conflicting_signatures_are_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let (wrong, request) = ("0".repeat(64), confirmed());
    let signature = request.signature().to_owned();
    let right_first = request.clone().with(SIGNATURE_HEADER, wrong.clone());
    rig.refuses(&right_first, 401, "INVALID_SIGNATURE").await;
    let wrong_first = request.signature_as(|_| wrong).with(SIGNATURE_HEADER, signature);
    rig.refuses(&wrong_first, 401, "INVALID_SIGNATURE").await;
}

/// The response is 400, so Bondify retries.
pub async fn a_signed_body_that_is_no_event_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let incomplete = Payload::confirmed().without("telegram_id").to_body();
    for body in ["".into(), "not json".into(), "[]".into(), "{}".into(), incomplete] {
        let request = WebhookRequest::signed(body, &secret());
        rig.refuses(&request, 400, "PARSE_ERROR").await;
    }
}

/// The response is 401 and not 400, so that an unsigned body does not reach the parser.
pub async fn an_unsigned_body_is_never_parsed<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let forged = WebhookRequest::signed("not json", &secret()).tampered();
    rig.refuses(&forged, 401, "INVALID_SIGNATURE").await;
    rig.refuses(&forged.without(SIGNATURE_HEADER), 401, "MISSING_SIGNATURE").await;
}

const MINUTE: Duration = Duration::from_secs(60);

/// The response to a captured delivery is 401, although its signature stays valid.
pub async fn an_event_that_is_too_old_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let age = Verifier::DEFAULT_TOLERANCE + MINUTE;
    for payload in [Payload::confirmed(), Payload::cancelled()] {
        rig.refuses(&payload.aged(age).signed_with(&secret()), 401, "STALE_EVENT").await;
    }
    let old_enough = Payload::confirmed().aged(Verifier::DEFAULT_TOLERANCE - MINUTE);
    assert_handled(&rig.post(&old_enough.signed_with(&secret())).await);
}

/// The response is 401 past the accepted difference of clocks.
pub async fn an_event_from_the_future_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let now = std::time::SystemTime::now();
    let future = Payload::confirmed().at(now + Verifier::SKEW + MINUTE);
    rig.refuses(&future.signed_with(&secret()), 401, "STALE_EVENT").await;
    let soon = Payload::confirmed().at(now + Verifier::SKEW - MINUTE);
    assert_handled(&rig.post(&soon.signed_with(&secret())).await);
}

/// An unknown event without a time is accepted.
pub async fn an_unknown_event_is_judged_by_its_time_if_it_has_one<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let unknown = Payload::unknown("auth.renamed");
    let old = unknown.clone().aged(Verifier::DEFAULT_TOLERANCE + MINUTE);
    rig.refuses(&old.signed_with(&secret()), 401, "STALE_EVENT").await;
    assert_handled(&rig.post(&unknown.signed_with(&secret())).await);
}

/// Bondify replies to deliveries only.
pub async fn the_framework_answers_other_methods<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let response = get(&rig.server, PATH, "").await;
    assert_eq!(response.status, A::OTHER_METHOD_STATUS, "{response:?}");
    assert_eq!(response.code(), None, "{response:?}");
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}

/// The next delivery on the connection is handled.
pub async fn a_refusal_keeps_the_connection_alive<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let mut connection = rig.open().await;
    let refused = [
        (confirmed().tampered(), 401),
        (confirmed().without(SIGNATURE_HEADER), 401),
        (confirmed().without("content-type"), 415),
        (WebhookRequest::signed("{}", &secret()), 400),
        (oversized(&rig), 413),
    ];
    for (request, status) in refused {
        let response = connection.post(PATH, &request).await.expect("the server responds");
        assert_eq!(response.status, status, "{response:?}");
        assert_ne!(response.header("connection"), Some("close"), "{response:?}");
    }
    assert_handled(&connection.post(PATH, &confirmed()).await.expect("the server responds"));
}

/// A handler that takes the body by a type of its framework, or does not take it, is protected by Bondify too. It
/// does not run for a request that is not signed, unless the framework refuses to compile or launch the app.
pub async fn a_handler_that_reads_the_body_itself_runs_for_signed_events_only<A: Adapter>() {
    for body in Body::ALL {
        let Some(rig) = Rig::attached::<A>(Attached::Reading(body)).await else { continue };
        for forged in [confirmed().without(SIGNATURE_HEADER), confirmed().tampered()] {
            let response = rig.post(&forged).await;
            assert!(response.status >= 400, "{body:?}: {response:?}");
        }
        assert_eq!(rig.script.progress().without_event, 0, "{body:?}");
        assert_eq!(rig.store.calls(), [], "{body:?}");
        // Whether the framework gives this body to the handler or not, the answer says so.
        let response = rig.post(&confirmed()).await;
        let handled = usize::from(response.status == 200);
        assert_eq!(rig.script.progress().without_event, handled, "{body:?}: {response:?}");
        assert_eq!(rig.store.calls().iter().filter(|call| COMPLETED(call)).count(), handled);
    }
}

/// The response is 500, unless the framework refuses to compile or launch the app.
pub async fn an_extractor_without_bondify_is_a_misconfiguration<A: Adapter>() {
    let Some(rig) = Rig::attached::<A>(Attached::Never).await else { return };
    rig.refuses(&confirmed(), 500, "MISCONFIGURED").await;
}

/// The response is 500, unless the framework refuses to compile or launch the app. The delivery does not
/// wait for itself, and no lease remains.
pub async fn bondify_attached_twice_is_a_misconfiguration<A: Adapter>() {
    let Some(rig) = Rig::attached::<A>(Attached::Twice).await else { return };
    let request = confirmed();
    for _ in 0..2 {
        assert_reply(&rig.post(&request).await, 500, "MISCONFIGURED");
    }
    assert_eq!(rig.runs(), 0);
}

/// The response to a request for a page is 500, unless the framework refuses to compile or launch the app.
/// A 415 would not tell the developer that Bondify is attached to that page.
pub async fn bondify_around_the_whole_app_is_a_misconfiguration<A: Adapter>() {
    let Some(rig) = Rig::attached::<A>(Attached::Everywhere).await else { return };
    assert_reply(&get(&rig.server, "/", "").await, 500, "MISCONFIGURED");
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}
