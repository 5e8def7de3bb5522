//! Behaviour that only warp shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use bondify_testkit::{
    Connection, Payload, ProbeStore, Response, Script, WebhookRequest, http_suite::Server,
};
use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Hook, MemoryStore, Secret};
use handler::on_event;
use serve::serve;
use warp::{Filter, http::StatusCode};

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn probed() -> (Bondify, ProbeStore) {
    let store = ProbeStore::new(MemoryStore::new());
    (Bondify::builder(secret()).store(store.clone()).build().unwrap(), store)
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

async fn deliver(server: &Server, path: &str, request: &WebhookRequest) -> Response {
    Connection::open(server.address()).await.unwrap().post(path, request).await.unwrap()
}

#[tokio::test]
async fn a_later_filter_that_rejects_has_claimed_nothing() {
    let (bondify, store) = probed();
    let token = warp::header::exact("x-internal", "yes");
    let run = |hook: Hook| hook.run(async |_: BondifyEvent| StatusCode::NO_CONTENT);
    let server = serve(warp::post().and(bondify.hook()).and(token).then(run)).await;

    let request = confirmed();
    assert_eq!(deliver(&server, "/", &request).await.status, 400); // warp's own
    assert_eq!(store.calls(), []);
    assert_eq!(deliver(&server, "/", &request.with("x-internal", "yes")).await.status, 204);
}

#[tokio::test]
async fn a_refusal_does_not_fall_through_to_a_later_route() {
    let (bondify, _store) = probed();
    let hook = warp::post().and(bondify.webhook(async |_| StatusCode::NO_CONTENT));
    let anything = warp::path::end().map(|| "anything goes");
    let server = serve(hook.or(anything)).await;
    let refused = deliver(&server, "/", &confirmed().tampered()).await;
    assert_eq!((refused.status, refused.code().unwrap()), (401, "INVALID_SIGNATURE".into()));
}

#[tokio::test]
async fn a_body_that_another_filter_took_is_a_misconfiguration() {
    let (bondify, _store) = probed();
    let run = |_taken, hook: Hook| hook.run(async |_: BondifyEvent| StatusCode::NO_CONTENT);
    let routes = warp::post().and(warp::body::bytes()).and(bondify.hook()).then(run);
    let server = serve(routes).await;
    let response = deliver(&server, "/", &confirmed()).await;
    assert_eq!((response.status, response.code().unwrap()), (500, "MISCONFIGURED".into()));
}

#[tokio::test]
async fn it_combines_with_other_filters() {
    let (bondify, _store) = probed();
    let script = Script::default();
    let script = warp::any().map(move || script.clone());
    let run = |project: String, hook: Hook, agent: Option<String>, script| {
        assert_eq!((&*project, agent), ("shop", None));
        hook.run(|event| on_event(event, script))
    };
    let routes = warp::path!("webhooks" / String)
        .and(warp::post())
        .and(bondify.hook())
        .and(warp::header::optional("user-agent"))
        .and(script)
        .then(run)
        .with(warp::reply::with::header("x-served-by", "warp"))
        .or(warp::path!("other").map(|| "other"));
    let server = serve(routes).await;
    let response = deliver(&server, "/webhooks/shop", &confirmed()).await;
    assert_eq!((response.status, response.header("x-served-by")), (200, Some("warp")));
}
