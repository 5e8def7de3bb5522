//! Behaviour that only axum shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Extension, Json, Router, body,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, Request, StatusCode, Uri},
    middleware::map_response,
    routing::{get, post},
};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Event, MemoryStore, Secret};
use bondify_testkit::{Call, Connection, Payload, ProbeStore, Response, Script, Step};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tower_http::{
    catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tracing_subscriber::{fmt::format::FmtSpan, util::SubscriberInitExt};

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn bondify() -> Bondify {
    Bondify::builder(secret("whsec_test")).build().unwrap()
}

fn confirmed() -> bondify_testkit::WebhookRequest {
    Payload::confirmed().signed_with(&secret("whsec_test"))
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

async fn deliver(
    server: SocketAddr,
    path: &str,
    request: &bondify_testkit::WebhookRequest,
) -> Response {
    Connection::open(server).await.unwrap().post(path, request).await.unwrap()
}

#[derive(Clone)]
struct AppState(&'static str);

#[axum::debug_handler]
async fn first(event: BondifyEvent, State(AppState(app)): State<AppState>, uri: Uri) -> String {
    format!("{} {app} {uri}", event.name())
}

#[axum::debug_handler]
async fn between(
    headers: HeaderMap,
    BondifyEvent(event): BondifyEvent,
    State(AppState(app)): State<AppState>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> String {
    assert_eq!(event.raw(), &body);
    assert!(headers.contains_key("x-bondify-signature"));
    format!("{app} {}", query["q"])
}

#[axum::debug_handler]
async fn last(State(AppState(app)): State<AppState>, event: BondifyEvent) -> Json<String> {
    Json(format!("{app} {}", event.name()))
}

#[axum::debug_handler]
async fn with_the_body(
    event: BondifyEvent,
    again: BondifyEvent,
    Json(json): Json<HashMap<String, serde_json::Value>>,
) -> String {
    assert_eq!(event.key(), again.key());
    json["event"].to_string()
}

#[tokio::test]
async fn the_event_combines_with_other_extractors_in_any_position() {
    let bondify = bondify();
    let app = Router::new()
        .route("/first", bondify.post(first))
        .route("/between", bondify.post(between))
        .route("/last", bondify.post(last))
        .route("/body", post(with_the_body).route_layer(bondify.layer()))
        .with_state(AppState("app"));
    let server = serve(app).await;
    let expected = [
        ("/first", "auth.confirmed app /first"),
        ("/between?q=1", "app 1"),
        ("/last", "\"app auth.confirmed\""),
        ("/body", "\"auth.confirmed\""),
    ];
    for (path, body) in expected {
        let response = deliver(server, path, &confirmed()).await;
        assert_eq!((response.status, &*response.body), (200, body));
    }
}

#[tokio::test]
async fn it_works_in_nested_routers_beside_other_methods() {
    let hooks = Router::new().route("/bondify", bondify().post(first).get(async || "a page"));
    let app = Router::new()
        .nest("/webhooks", hooks)
        .route("/", get(async || "home"))
        .with_state(AppState("nested"));
    let server = serve(app).await;
    let response = deliver(server, "/webhooks/bondify", &confirmed()).await;
    assert_eq!(response.body, "auth.confirmed nested /bondify");

    let mut connection = Connection::open(server).await.unwrap();
    connection.send(b"GET /webhooks/bondify HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(connection.response().await.unwrap().body, "a page");
}

#[tokio::test]
async fn several_bondifys_in_one_app_are_independent() {
    let build = |text| Bondify::builder(secret(text)).build().unwrap();
    let (shop, blog) = (build("whsec_shop"), build("whsec_blog"));
    let ok = async |_: BondifyEvent| StatusCode::NO_CONTENT;
    let app = Router::new().route("/shop", shop.post(ok)).route("/blog", blog.post(ok));
    let server = serve(app).await;
    let request = Payload::confirmed().signed_with(&secret("whsec_shop"));
    assert_eq!(deliver(server, "/blog", &request).await.status, 401);
    assert_eq!(deliver(server, "/shop", &request).await.status, 204);
    assert_eq!(deliver(server, "/shop", &request).await.code().unwrap(), "DUPLICATE");
}

#[tokio::test]
async fn it_speaks_http_2() {
    let script = Script::default();
    script.then([Step::Answer(500)]);
    let app = Router::new().route("/", bondify().post(scripted)).with_state(script);
    let stream = TcpStream::connect(serve(app).await).await.unwrap();
    let (mut client, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    let request = confirmed();
    let uri = "http://localhost/";
    let mut answers = Vec::new();
    for request in [request.clone().tampered(), request.clone(), request.clone(), request] {
        let response = client.send_request(request.to_http(uri, Full::new)).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        answers.push((status, String::from_utf8(body.to_vec()).unwrap()));
    }
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [401, 500, 200, 200]);
    assert_eq!(answers[3].1, r#"{"status":"duplicate"}"#);
}

async fn scripted(event: BondifyEvent, State(script): State<Script>) -> StatusCode {
    StatusCode::from_u16(script.handle(&event).await.unwrap()).unwrap()
}

#[tokio::test]
async fn an_outer_timeout_does_not_cancel_the_handler() {
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = Bondify::builder(secret("whsec_test")).store(store.clone()).build().unwrap();
    let script = Script::default();
    script.then([Step::held(200)]);
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(20));
    let app =
        Router::new().route("/", bondify.post(scripted).layer(timeout)).with_state(script.clone());
    let server = serve(app).await;
    assert_eq!(deliver(server, "/", &confirmed()).await.status, 504);
    script.resume(1);
    store.until(1, |call| *call == Call::Complete(true)).await;
}

#[tokio::test]
async fn it_combines_with_common_layers() {
    let app = Router::new()
        .route("/", bondify().post(scripted))
        .layer(Extension(AppState("unused")))
        .layer(CatchPanicLayer::new())
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(TraceLayer::new_for_http());
    let script = Script::default();
    script.then([Step::Panic]);
    let server = serve(app.with_state(script)).await;
    let request = confirmed();
    assert_eq!(deliver(server, "/", &request).await.code().unwrap(), "HANDLER_PANICKED");
    let again = deliver(server, "/", &request).await;
    assert_eq!((again.status, again.code()), (200, None));
}

// The layer answers 413 if the length is announced, Bondify if the body exceeds the limit later.
#[tokio::test]
async fn a_body_limit_around_the_route_is_413() {
    let ok = async |_: BondifyEvent| StatusCode::OK;
    let app = Router::new().route("/", bondify().post(ok)).layer(RequestBodyLimitLayer::new(1024));
    let server = serve(app).await;
    let large = Payload::confirmed().field("padding", "x".repeat(2000));
    let large = large.signed_with(&secret("whsec_test"));
    assert_eq!(deliver(server, "/", &large).await.status, 413);
    let mut connection = Connection::open(server).await.unwrap();
    connection.send(&large.to_http1_chunked("/", 500)).await.unwrap();
    let response = connection.response().await.unwrap();
    assert_eq!((response.status, response.code().unwrap()), (413, "PAYLOAD_TOO_LARGE".into()));
}

// The documentation of `BondifyEvent` says to use the event's bytes instead.
#[tokio::test]
async fn a_default_body_limit_below_the_body_applies_to_the_handlers_extractor() {
    let with_the_body = async |_: BondifyEvent, body: Bytes| body;
    let with_the_event = async |event: BondifyEvent| event.raw().clone();
    let app = Router::new()
        .route("/body", bondify().post(with_the_body))
        .route("/event", bondify().post(with_the_event))
        .layer(DefaultBodyLimit::max(100));
    let server = serve(app).await;
    assert_eq!(deliver(server, "/body", &confirmed()).await.status, 413);
    let request = confirmed();
    assert_eq!(deliver(server, "/event", &request).await.body, *request.body());
}

// The README says to put no such layer around the route.
#[tokio::test]
async fn an_event_is_lost_if_a_layer_turns_500_into_200() {
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = Bondify::builder(secret("whsec_test")).store(store.clone()).build().unwrap();
    let failing = async |_: BondifyEvent| StatusCode::INTERNAL_SERVER_ERROR;
    let all_is_well = map_response(async |_: axum::response::Response| StatusCode::OK);
    let server = serve(Router::new().route("/", bondify.post(failing)).layer(all_is_well)).await;
    assert_eq!(deliver(server, "/", &confirmed()).await.status, 200);
    assert_eq!(store.calls().last(), Some(&Call::Release(true)));
}

// The client has hung up, so that only `drain` keeps the server running.
#[tokio::test]
async fn a_graceful_shutdown_with_drain_finishes_a_handler_whose_client_hung_up() {
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = Bondify::builder(secret("whsec_test")).store(store.clone()).build().unwrap();
    let script = Script::default();
    script.then([Step::held(200)]);
    let app = Router::new().route("/", bondify.post(scripted)).with_state(script.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async {
        let stopped = async { stopped.await.unwrap() };
        axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
    });

    let mut client = Connection::open(address).await.unwrap();
    client.send(&confirmed().to_http1("/")).await.unwrap();
    script.started(1).await;
    client.hang_up().await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
    assert_eq!(script.progress().finished, 0);

    let (drained, ()) = tokio::join!(bondify.drain(Duration::from_secs(60)), async {
        script.resume(1);
    });
    drained.unwrap();
    assert_eq!(script.progress().finished, 1);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

#[tokio::test]
async fn the_extracted_event_is_the_one_in_the_extensions() {
    let show = async |event: BondifyEvent, request: Request<body::Body>| {
        let extension = request.extensions().get::<Event>().unwrap();
        format!("{}", extension.key() == event.key())
    };
    let server = serve(Router::new().route("/", bondify().post(show))).await;
    assert_eq!(deliver(server, "/", &confirmed()).await.body, "true");
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

impl Log {
    /// Starts the log of this thread, with the subscriber of the README. A test has one thread.
    fn of_this_thread() -> (Self, impl Drop) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_span_events(FmtSpan::CLOSE);
        let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone());
        (log, subscriber.set_default())
    }

    /// The first line that contains `text`.
    fn line(&self, text: &str) -> String {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{log}")).to_owned()
    }
}

#[tokio::test]
async fn the_readmes_subscriber_prints_a_delivery() {
    let (log, _guard) = Log::of_this_thread();
    let server = serve(Router::new().route("/", bondify().post(async |_: BondifyEvent| ()))).await;
    assert_eq!(deliver(server, "/", &confirmed()).await.status, 200);
    let line = log.line("bondify.delivery");
    assert!(line.contains("auth.confirmed") && line.contains("ACCEPTED"), "{line}");
}

#[tokio::test]
async fn a_page_behind_the_layer_of_a_whole_router_is_logged_as_an_error() {
    let (log, _guard) = Log::of_this_thread();
    let app = Router::new().route("/", get(async || "a page")).layer(bondify().layer());
    let mut connection = Connection::open(serve(app).await).await.unwrap();
    connection.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(connection.response().await.unwrap().code().unwrap(), "MISCONFIGURED");
    assert!(log.line("not to a whole router").contains("ERROR"));
}
