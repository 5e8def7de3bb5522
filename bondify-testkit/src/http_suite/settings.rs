use bondify_core::{Bondify, Secret};

use super::{
    adapter::{Adapter, App, Attached, PATH},
    rig::{Rig, assert_handled, assert_reply, confirmed, secret},
};
use crate::{Connection, Payload, STORE_ERROR, Step};

/// A delivery that cannot be claimed is not handled. Its retry is handled.
pub async fn an_unavailable_store_is_answered_with_503<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = confirmed();
    rig.store.set_down(true);
    rig.refuses(&request, 503, "STORE_UNAVAILABLE").await;
    rig.store.set_down(false);
    assert_handled(&rig.post(&request).await);
}

/// With `fail_open`, every delivery is handled.
pub async fn with_fail_open_an_unavailable_store_stops_no_delivery<A: Adapter>() {
    let rig = Rig::with::<A>(|builder| builder.fail_open()).await;
    let request = confirmed();
    rig.store.set_down(true);
    for runs in 1..=2 {
        assert_handled(&rig.post(&request).await);
        assert_eq!(rig.runs(), runs);
    }
    let forged = request.tampered();
    assert_reply(&rig.post(&forged).await, 401, "INVALID_SIGNATURE");
}

/// No response contains the error of the store.
pub async fn no_response_contains_the_error_of_the_store<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.store.set_down(true);
    let response = rig.post(&confirmed()).await;
    assert!(!format!("{response:?}").contains(STORE_ERROR), "{response:?}");
}

/// The handler succeeded, so its response is sent.
pub async fn a_failed_settlement_does_not_change_the_response<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.script.then([Step::held(201)]);
    let mut connection = rig.begin(&confirmed()).await;
    rig.script.started(1).await;
    rig.store.set_down(true);
    rig.script.resume(1);
    let response = connection.response().await.expect("the server responds");
    assert_eq!(response.status, 201, "{response:?}");
}

/// Both secrets are accepted after the first rotation, the new one alone after the second.
pub async fn secrets_rotate_while_running<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let new = Secret::new("whsec_new").expect("a valid secret");
    let by = |secret: &Secret| Payload::confirmed().signed_with(secret);
    rig.refuses(&by(&new), 401, "INVALID_SIGNATURE").await;
    rig.bondify.rotate(new.clone(), [secret()]);
    assert_handled(&rig.post(&by(&new)).await);
    assert_handled(&rig.post(&by(&secret())).await);
    rig.bondify.rotate(new.clone(), []);
    assert_handled(&rig.post(&by(&new)).await);
    assert_reply(&rig.post(&by(&secret())).await, 401, "INVALID_SIGNATURE");
}

/// With `verify_only`, nothing is claimed, for handlers that deduplicate in a transaction.
pub async fn verify_only_passes_every_delivery_to_the_handler<A: Adapter>() {
    let rig = Rig::with::<A>(|builder| builder.verify_only()).await;
    let request = confirmed();
    for runs in 1..=3 {
        assert_handled(&rig.post(&request).await);
        assert_eq!(rig.runs(), runs);
    }
    assert_eq!(rig.store.calls(), []);
    rig.script.then([Step::Panic]);
    assert_reply(&rig.post(&request).await, 500, "HANDLER_PANICKED");
    assert_reply(&rig.post(&request.tampered()).await, 401, "INVALID_SIGNATURE");
}

/// The same event is handled once in each namespace.
pub async fn namespaces_share_a_store<A: Adapter>() {
    let shop = Rig::with::<A>(|builder| builder.namespace("shop")).await;
    let blog = Bondify::builder(secret()).store(shop.store.clone()).namespace("blog").build();
    let app = App {
        bondify: blog.expect("the settings make sense"),
        script: shop.script.clone(),
        attached: Attached::Once,
    };
    let blog = A::serve(app).await.expect("the server starts");
    let request = confirmed();
    for server in [&shop.server, &blog] {
        let mut connection = Connection::open(server.address()).await.expect("the server accepts");
        let mut post = async || connection.post(PATH, &request).await.expect("a response");
        assert_handled(&post().await);
        assert_reply(&post().await, 200, "DUPLICATE");
    }
    assert_eq!(shop.runs(), 2);
}
