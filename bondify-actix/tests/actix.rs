//! Behaviour that only actix-web shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::{
    collections::HashMap,
    io,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    dev::ServiceRequest,
    error::ErrorServiceUnavailable,
    http::StatusCode,
    middleware::{ErrorHandlerResponse, ErrorHandlers, Next, from_fn},
    test::{self, TestRequest},
    web::{self, Bytes, Data, Json, PayloadConfig, ServiceConfig},
};
use bondify_actix::{Bondify, BondifyEvent, BondifyExt, MemoryStore, Secret};
use bondify_testkit::{
    Call, Connection, Payload, ProbeStore, Response, Script, Step, WebhookRequest,
    http_suite::Server,
};
use handler::on_event;
use serve::serve;
use tracing_subscriber::util::SubscriberInitExt;

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

// A handler for any method relies on the middleware for the method.
#[tokio::test]
async fn another_method_does_not_bypass_the_middleware() {
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

// actix-web turns a handler's error into a response before Bondify sees it, but not a middleware's.
#[tokio::test]
async fn an_error_of_an_inner_middleware_is_a_failure() {
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

#[actix_web::test]
async fn a_panic_is_an_answer_in_a_test_of_the_application() {
    let (bondify, script) = (bondify(), Script::default());
    let hooks = web::scope("/hooks").wrap(bondify.middleware());
    let hooks = hooks.route("/one", web::post().to(on_event));
    let app = App::new().app_data(Data::new(script.clone())).service(hooks);
    let app = test::init_service(app).await;
    script.then([Step::Panic]);
    let request = confirmed();
    for status in [500, 200] {
        let delivery = TestRequest::post().uri("/hooks/one").set_payload(request.body().to_vec());
        let delivery = request.headers().iter().fold(delivery, |delivery, (name, value)| {
            delivery.insert_header((name.as_str(), value.as_str()))
        });
        let response = test::call_service(&app, delivery.to_request()).await;
        assert_eq!(response.status(), status);
    }
}

// The documentation of `BondifyEvent` says to use the event's bytes instead.
#[tokio::test]
async fn a_payload_limit_below_the_body_applies_to_the_handlers_extractor() {
    let bondify = bondify();
    let server = app(move |config| {
        let hook = || web::resource("/bytes").wrap(bondify.middleware());
        let event = web::resource("/event").wrap(bondify.middleware());
        config
            .app_data(PayloadConfig::new(100))
            .service(hook().route(web::post().to(async |_: BondifyEvent, body: Bytes| body)))
            .service(event.route(web::post().to(async |event: BondifyEvent| event.raw().clone())));
    });
    assert_eq!(deliver(&server, "/bytes", &confirmed()).await.status, 413);
    let request = confirmed();
    assert_eq!(deliver(&server, "/event", &request).await.body, *request.body());
}

#[actix_web::test]
async fn an_optional_event_without_bondify_is_none_and_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _guard = subscriber.set_default();
    let optional = async |event: Option<BondifyEvent>| event.is_some().to_string();
    let app = test::init_service(App::new().route("/", web::post().to(optional))).await;
    let delivery = TestRequest::post().set_payload(confirmed().body().to_vec()).to_request();
    assert_eq!(test::call_and_read_body(&app, delivery).await, "false");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("ERROR") && log.contains("bondify.middleware()"), "{log}");
}

// The README says to put no such middleware around Bondify.
#[tokio::test]
async fn an_event_is_lost_if_a_middleware_turns_500_into_200() {
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = Bondify::builder(secret()).store(store.clone()).build().unwrap();
    let server = app(move |config| {
        let all_is_well = ErrorHandlers::new().default_handler(|mut response| {
            *response.response_mut().status_mut() = StatusCode::OK;
            Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
        });
        let failing = web::post().to(async |_: BondifyEvent| HttpResponse::InternalServerError());
        let hook = web::resource("/hook").wrap(bondify.middleware()).wrap(all_is_well);
        config.service(hook.route(failing));
    });
    assert_eq!(deliver(&server, "/hook", &confirmed()).await.status, 200);
    assert_eq!(store.calls().last(), Some(&Call::Release(true)));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
