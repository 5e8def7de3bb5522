//! Behaviour that only actix-web shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    dev::ServiceRequest,
    error::ErrorServiceUnavailable,
    middleware::{Next, from_fn},
    web::{self, Bytes, Data, Json, ServiceConfig},
};
use bondify_actix::{Bondify, BondifyEvent, BondifyExt, MemoryStore, Secret};
use bondify_testkit::{
    Call, Connection, Payload, ProbeStore, Response, Script, WebhookRequest, http_suite::Server,
};
use handler::on_event;
use serve::serve;

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn bondify() -> Bondify {
    Bondify::builder(secret()).build().unwrap()
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

fn app(configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> Server {
    serve(Script::default(), configure)
}

async fn deliver(server: &Server, path: &str, request: &WebhookRequest) -> Response {
    Connection::open(server.address()).await.unwrap().post(path, request).await.unwrap()
}

async fn get(server: &Server, path: &str) -> Response {
    let mut connection = Connection::open(server.address()).await.unwrap();
    let get = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    connection.send(get.as_bytes()).await.unwrap();
    connection.response().await.unwrap()
}

#[tokio::test]
async fn it_wraps_a_scope_of_webhooks() {
    let bondify = bondify();
    let server = app(move |config| {
        let hooks = web::scope("/hooks").wrap(bondify.middleware());
        config.service(hooks.route("/one", web::post().to(on_event)));
    });
    let request = confirmed();
    assert_eq!(deliver(&server, "/hooks/one", &request.clone().tampered()).await.status, 401);
    assert_eq!(deliver(&server, "/hooks/one", &request).await.status, 200);
    assert_eq!(deliver(&server, "/hooks/one", &request).await.code().unwrap(), "DUPLICATE");
    assert_eq!(deliver(&server, "/hooks/two", &confirmed()).await.status, 404);
}

#[tokio::test]
async fn it_wraps_one_route_beside_a_page() {
    let bondify = bondify();
    let server = app(move |config| {
        let hook = web::post().to(on_event).wrap(bondify.middleware());
        let page = web::get().to(async || "a page");
        config.service(web::resource("/hook").route(hook).route(page));
    });
    let request = confirmed();
    assert_eq!(deliver(&server, "/hook", &request.clone().tampered()).await.status, 401);
    assert_eq!(deliver(&server, "/hook", &request).await.status, 200);
    assert_eq!(get(&server, "/hook").await.body, "a page");
}

// A handler for any method trusts what wraps it.
#[tokio::test]
async fn another_method_is_no_way_around_it() {
    let bondify = bondify();
    let server = app(move |config| {
        let any = web::route().to(async |body: Bytes| body);
        config.service(web::resource("/hook").wrap(bondify.middleware()).route(any));
    });
    assert_eq!(get(&server, "/hook").await.status, 405);
    let request = confirmed();
    assert_eq!(deliver(&server, "/hook", &request).await.body, *request.body());
}

async fn combined(
    request: HttpRequest,
    event: BondifyEvent,
    body: Json<HashMap<String, Option<serde_json::Value>>>,
    again: BondifyEvent,
) -> impl Responder {
    assert_eq!(event.key(), again.key());
    assert!(request.headers().contains_key("x-bondify-signature"));
    let shared = Rc::new(body["event"].clone()); // so that the future is not `Send`
    actix_web::rt::task::yield_now().await;
    HttpResponse::Ok().body(format!("{shared:?}"))
}

#[tokio::test]
async fn a_handler_need_not_be_send_and_may_take_the_body_too() {
    let bondify = bondify();
    let server = app(move |config| {
        let hook = web::resource("/hook").wrap(bondify.middleware());
        config.service(hook.route(web::post().to(combined)));
    });
    let response = deliver(&server, "/hook", &confirmed()).await;
    assert!(response.body.contains("auth.confirmed"), "{response:?}");
}

// An error of a handler is a response by the time it gets here; one of a middleware is not.
#[tokio::test]
async fn an_error_of_a_middleware_within_is_a_failure() {
    let bondify = bondify();
    let failing = || {
        from_fn(async |request: ServiceRequest, next: Next<BoxBody>| {
            static FAILED: AtomicBool = AtomicBool::new(false);
            if !FAILED.swap(true, Ordering::SeqCst) {
                return Err(ErrorServiceUnavailable("not yet"));
            }
            next.call(request).await
        })
    };
    let server = app(move |config| {
        let hook = web::resource("/hook").wrap(failing()).wrap(bondify.middleware());
        config.service(hook.route(web::post().to(on_event)));
    });
    let request = confirmed();
    assert_eq!(deliver(&server, "/hook", &request).await.status, 503);
    let again = deliver(&server, "/hook", &request).await;
    assert_eq!((again.status, again.code()), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_its_worker_keeps_its_lease() {
    type Release = Data<Mutex<mpsc::Receiver<()>>>;
    async fn block(_: BondifyEvent, release: Release) -> HttpResponse {
        release.lock().unwrap().recv().unwrap(); // there is one worker, and it stands still
        HttpResponse::NoContent().finish()
    }

    let store = ProbeStore::new(MemoryStore::new());
    let lease = Duration::from_secs(1);
    let builder = Bondify::builder(secret()).store(store.clone()).lease(lease);
    let bondify = builder.build().unwrap();
    let (release, released) = mpsc::channel();
    let released: Release = Data::new(Mutex::new(released));
    let server = app(move |config| {
        let hook = web::resource("/hook").wrap(bondify.middleware());
        config.app_data(released.clone()).service(hook.route(web::post().to(block)));
    });

    let mut connection = Connection::open(server.address()).await.unwrap();
    connection.send(&confirmed().to_http1("/hook")).await.unwrap();
    store.until(7, |call| *call == Call::Renew(true)).await; // more than two leases
    release.send(()).unwrap();
    assert_eq!(connection.response().await.unwrap().status, 204);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}
