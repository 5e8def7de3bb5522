use bondify_core::{Claimed, DedupeStore, EventKey};

use super::{
    adapter::Adapter,
    rig::{
        ACQUIRED, IN_FLIGHT, LONG, RENEWED, Rig, SHORT, assert_handled, assert_reply, confirmed,
        response, secret,
    },
};
use crate::{Call, Step, WebhookRequest};

fn request_and_key() -> (WebhookRequest, EventKey) {
    let request = confirmed();
    let key = request.verified_by(&secret()).expect("the request is genuine").key();
    (request, key)
}

/// A handler may run for longer than its lease.
pub async fn a_lease_is_renewed_while_the_handler_runs<A: Adapter>() {
    let (request, key) = request_and_key();
    let rig = Rig::with::<A>(|builder| builder.lease(RENEWED)).await;
    rig.script.then([Step::held(200)]);
    let connection = rig.begin(&request).await;
    rig.script.started(1).await;
    rig.store.until(7, |call| *call == Call::Renew(true)).await; // more than two leases
    assert_eq!(rig.store.claim(&key, LONG).await.expect("the store is up"), Claimed::InFlight);
    rig.script.resume(1);
    assert_handled(&response(connection).await);
    assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    assert_eq!(rig.runs(), 1);
}

/// A crashed process renews nothing, so a waiting delivery acquires the lease.
pub async fn a_crashed_handler_is_taken_over_after_its_lease<A: Adapter>() {
    let (request, key) = request_and_key();
    let rig = Rig::start::<A>().await;
    let crashed = rig.store.claim(&key, SHORT).await.expect("the store is up");
    assert!(matches!(crashed, Claimed::Acquired(_)));
    let connection = rig.begin(&request).await;
    rig.store.until(1, IN_FLIGHT).await;
    assert_eq!(rig.runs(), 0);
    assert_handled(&response(connection).await);
    assert_eq!(rig.runs(), 1);
}

/// A handler that lost its lease cannot complete an event that another handler runs for.
pub async fn a_handler_that_lost_its_lease_changes_nothing<A: Adapter>() {
    let (request, key) = request_and_key();
    let rig = Rig::with::<A>(|builder| builder.lease(RENEWED)).await;
    rig.script.then([Step::held(200), Step::held(500)]);
    rig.store.ignore_renewals(true);
    let loser = rig.begin(&request).await;
    rig.script.started(1).await;
    let successor = rig.begin(&request).await;
    rig.store.until(2, ACQUIRED).await;
    rig.store.ignore_renewals(false);
    rig.script.started(2).await;
    rig.store.until(1, |call| *call == Call::Renew(true)).await;

    rig.script.resume(1); // held handlers are resumed in the order they came
    assert_handled(&response(loser).await);
    rig.store.until(1, |call| *call == Call::Complete(false)).await;
    assert_eq!(rig.store.claim(&key, LONG).await.expect("the store is up"), Claimed::InFlight);

    rig.script.resume(1);
    assert_eq!(response(successor).await.status, 500);
    assert_handled(&rig.post(&request).await);
    assert_eq!(rig.runs(), 3);
}
