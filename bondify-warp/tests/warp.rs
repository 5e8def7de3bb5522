//! Behaviour that only warp shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use bondify_testkit::{
    Connection, Payload, ProbeStore, Response, Script, WebhookRequest, http_suite::Server,
};
use bondify_warp::{Bondify, BondifyExt, MemoryStore, Secret};
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
async fn a_route_that_rejects_has_read_and_claimed_nothing() {
    let (bondify, store) = probed();
    let token = warp::post().and(warp::header::<String>("x-internal"));
    let internal = bondify.webhook_with(token, async |_, _| StatusCode::NO_CONTENT);
    let anyone = warp::post().and(bondify.webhook(async |_| StatusCode::ACCEPTED));
    let server = serve(internal.or(anyone)).await;

    let forged = confirmed().tampered();
    assert_eq!(deliver(&server, "/", &forged.with("x-internal", "yes")).await.status, 401);
    assert_eq!(store.calls(), []);
    assert_eq!(deliver(&server, "/", &confirmed()).await.status, 202);
    let internal = confirmed().with("x-internal", "yes");
    assert_eq!(deliver(&server, "/", &internal).await.status, 204);
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
    let (bondify, store) = probed();
    let body = warp::post().and(warp::body::bytes());
    let on_event = async |_, _| StatusCode::NO_CONTENT;
    let server = serve(bondify.webhook_with(body, on_event)).await;
    let response = deliver(&server, "/", &confirmed()).await;
    assert_eq!((response.status, response.code().unwrap()), (500, "MISCONFIGURED".into()));
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn it_combines_with_other_filters() {
    let (bondify, _store) = probed();
    let script = Script::default();
    let script = warp::any().map(move || script.clone());
    let route = warp::path!("webhooks" / String)
        .and(warp::post())
        .and(warp::header::optional("user-agent"))
        .and(script)
        .map(|project: String, agent: Option<String>, script| (project, agent, script));
    let routes = bondify
        .webhook_with(route, |event, (project, agent, script)| {
            assert_eq!((&*project, agent), ("shop", None));
            on_event(event, script)
        })
        .with(warp::reply::with::header("x-served-by", "warp"))
        .or(warp::path!("other").map(|| "other"));
    let server = serve(routes).await;
    let response = deliver(&server, "/webhooks/shop", &confirmed()).await;
    assert_eq!((response.status, response.header("x-served-by")), (200, Some("warp")));
}
