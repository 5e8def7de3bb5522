use super::{
    adapter::Adapter,
    rig::{Rig, assert_handled, assert_reply, confirmed, secret},
};
use crate::{Payload, Step};

/// The response is 200, and the handler does not run again.
pub async fn a_completed_event_is_a_duplicate<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = confirmed();
    assert_handled(&rig.post(&request).await);
    for _ in 0..3 {
        assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 1);
}

/// Delivers one event twice; the first handler takes `step`, the second succeeds.
async fn handles_again_after<A: Adapter>(step: Step, status: u16, code: Option<&str>) {
    let rig = Rig::start::<A>().await;
    rig.script.then([step]);
    let request = confirmed();
    let first = rig.post(&request).await;
    assert_eq!(first.status, status, "{first:?}");
    if let Some(code) = code {
        assert_reply(&first, status, code);
    }
    assert_handled(&rig.post(&request).await);
    assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    assert_eq!(rig.runs(), 2);
}

/// A status other than 2xx releases the event.
pub async fn a_failed_event_is_handled_again<A: Adapter>() {
    handles_again_after::<A>(Step::Answer(503), 503, None).await;
}

/// An error of the framework's own type releases the event.
pub async fn an_error_is_handled_again<A: Adapter>() {
    handles_again_after::<A>(Step::Fail, 500, None).await;
}

/// A panic is answered with 500 and releases the event.
pub async fn a_panic_is_handled_again<A: Adapter>() {
    handles_again_after::<A>(Step::Panic, 500, Some("HANDLER_PANICKED")).await;
}

/// A redirect releases the event, since Bondify counts it as a failure.
pub async fn a_redirect_does_not_acknowledge_the_event<A: Adapter>() {
    handles_again_after::<A>(Step::Answer(302), 302, None).await;
}

/// Each status from 200 to 299 completes the event.
pub async fn any_2xx_acknowledges_the_event<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    for status in [201, 202, 204, 299] {
        rig.script.then([Step::Answer(status)]);
        let request = confirmed();
        assert_eq!(rig.post(&request).await.status, status);
        assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 4);
}

/// The event's name is part of its key.
pub async fn both_events_of_one_session_are_handled<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let confirmed = confirmed().verified_by(&secret()).expect("the request is genuine");
    let session = confirmed.session_token().expect("the event has a session token");
    for payload in [Payload::confirmed(), Payload::cancelled(), Payload::unknown("auth.renamed")] {
        let request = payload.session_token(session).signed_with(&secret());
        assert_handled(&rig.post(&request).await);
        assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 3);
}
