//! Behaviour that only Rocket shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::{marker::PhantomData, net::SocketAddr, time::Duration};

use bondify_rocket::{
    Bondify, BondifyEvent, BondifyExt, BondifyMount, BondifyRejection, MemoryStore, Secret,
};
use bondify_testkit::{
    Call, Connection, Payload, ProbeStore, Response, Script, Step, WebhookRequest, within_a_minute,
};
use handler::{BASE, on_event};
use rocket::{
    Request, Route, catch, catchers,
    error::ErrorKind,
    http::Status,
    outcome::Outcome,
    post,
    request::{self, FromRequest},
    response::status::Custom,
    routes,
};
use serve::{rocket, serve};
use tokio::{sync::oneshot, task::JoinHandle};

const PATH: &str = "/webhooks/bondify";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn probed() -> (Bondify, ProbeStore) {
    let store = ProbeStore::new(MemoryStore::new());
    let builder = Bondify::builder(secret("whsec_test")).store(store.clone());
    (builder.build().unwrap(), store)
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret("whsec_test"))
}

async fn deliver(server: SocketAddr, path: &str, request: &WebhookRequest) -> Response {
    Connection::open(server).await.unwrap().post(path, request).await.unwrap()
}

#[tokio::test]
async fn a_guard_without_any_mount_aborts_the_launch() {
    let rocket = rocket(Script::default()).mount(BASE, routes![on_event]);
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error}");
}

#[post("/bytes", data = "<_body>")]
fn bytes(_body: Vec<u8>) {}

#[post("/raw", data = "<_body>")]
fn raw(_body: rocket::Data<'_>) {}

#[post("/file", data = "<_file>")]
fn file(_file: rocket::fs::TempFile<'_>) {}

#[post("/capped", data = "<_text>")]
fn capped(_text: rocket::data::Capped<String>) {}

#[post("/form", data = "<_form>")]
fn form(_form: rocket::form::Form<std::collections::HashMap<String, String>>) {}

#[post("/nothing")]
fn nothing() {}

#[post("/anything", data = "<_body>")]
fn anything(_body: Option<Vec<u8>>) {}

#[tokio::test]
async fn a_route_that_takes_no_event_aborts_the_launch() {
    let (bondify, _) = probed();
    let mut routes = routes![bytes, raw, file, capped, form, nothing, anything];
    routes.push(Route::new(rocket::http::Method::Post, "/by-hand", rocket::route::dummy_handler));
    for route in routes {
        let beside = vec![route.clone(), routes![on_event].remove(0)];
        assert_refused(bondify.mount(BASE, beside), &route).await;
    }
}

async fn assert_refused(mount: BondifyMount, route: &Route) {
    let rocket = rocket(Script::default()).attach(mount);
    let error = rocket.ignite().await.expect_err(&format!("{route} is refused"));
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{route}: {error}");
}

#[post("/optional", data = "<_event>")]
fn optional(_event: Option<BondifyEvent>) {}

#[tokio::test]
async fn an_option_or_a_result_of_the_event_launches() {
    let (bondify, _store) = probed();
    let routes = routes![on_event, optional, fallible];
    let server =
        serve(rocket(Script::default()).attach(bondify.mount(BASE, routes))).await.unwrap();
    for path in ["/webhooks/optional", "/webhooks/fallible"] {
        let forged = deliver(server.address(), path, &confirmed().tampered()).await;
        assert_eq!((forged.status, forged.code().unwrap()), (401, "INVALID_SIGNATURE".into()));
        assert_eq!(deliver(server.address(), path, &confirmed()).await.status, 200, "{path}");
    }
}

/// A guard that names a type, but receives none.
struct Tagged<T>(PhantomData<T>);

#[rocket::async_trait]
impl<'r, T> FromRequest<'r> for Tagged<T> {
    type Error = ();

    async fn from_request(_: &'r Request<'_>) -> request::Outcome<Self, ()> {
        Outcome::Success(Self(PhantomData))
    }
}

#[rocket::async_trait]
impl<'r, T> rocket::data::FromData<'r> for Tagged<T> {
    type Error = ();

    async fn from_data(_: &'r Request<'_>, _: rocket::Data<'r>) -> rocket::data::Outcome<'r, Self> {
        Outcome::Success(Self(PhantomData))
    }
}

#[post("/request-guard", data = "<_body>")]
fn request_guard(_tag: Tagged<BondifyEvent>, _body: Vec<u8>) {}

#[post("/data-guard", data = "<_tag>")]
fn data_guard(_tag: Tagged<BondifyEvent>) {}

#[post("/nested", data = "<_tag>")]
fn nested(_tag: Tagged<Option<BondifyEvent>>) {}

#[post("/optional-tag", data = "<_tag>")]
fn optional_tag(_tag: Option<Tagged<BondifyEvent>>) {}

#[tokio::test]
async fn a_guard_that_only_names_the_event_aborts_the_launch() {
    let (bondify, _) = probed();
    for route in routes![request_guard, data_guard, nested, optional_tag] {
        assert_refused(bondify.mount(BASE, vec![route.clone()]), &route).await;
    }
}

/// A data guard that is said to take the event, and does not.
struct Untrue;

#[rocket::async_trait]
impl<'r> rocket::data::FromData<'r> for Untrue {
    type Error = ();

    async fn from_data(_: &'r Request<'_>, _: rocket::Data<'r>) -> rocket::data::Outcome<'r, Self> {
        Outcome::Success(Self)
    }
}

impl rocket::Sentinel for Untrue {
    fn abort(rocket: &rocket::Rocket<rocket::Ignite>) -> bool {
        BondifyEvent::abort(rocket)
    }
}

#[post("/untrue", data = "<_body>")]
fn untrue(_body: Untrue) -> &'static str {
    "handled"
}

/// A data guard of an application.
struct Login(BondifyEvent);

#[rocket::async_trait]
impl<'r> rocket::data::FromData<'r> for Login {
    type Error = BondifyRejection;

    async fn from_data(
        request: &'r Request<'_>,
        data: rocket::Data<'r>,
    ) -> rocket::data::Outcome<'r, Self> {
        BondifyEvent::from_data(request, data).await.map(Self)
    }
}

impl rocket::Sentinel for Login {
    fn abort(rocket: &rocket::Rocket<rocket::Ignite>) -> bool {
        BondifyEvent::abort(rocket)
    }
}

#[post("/wrapped", data = "<login>")]
fn wrapped(login: Login) -> String {
    login.0.name().to_owned()
}

#[tokio::test]
async fn a_guard_of_the_application_aborts_the_launch() {
    let (bondify, _) = probed();
    for route in routes![untrue, wrapped] {
        assert_refused(bondify.mount(BASE, vec![route.clone()]), &route).await;
    }
}

#[tokio::test]
async fn two_mounts_with_different_secrets_are_independent() {
    let mount = |base, text| {
        let bondify = Bondify::builder(secret(text)).build().unwrap();
        bondify.mount(base, routes![on_event])
    };
    let rocket = rocket(Script::default())
        .attach(mount("/shop", "whsec_shop"))
        .attach(mount("/blog", "whsec_blog"));
    let server = serve(rocket).await.unwrap();
    let request = Payload::confirmed().signed_with(&secret("whsec_shop"));
    assert_eq!(deliver(server.address(), "/blog/bondify", &request).await.status, 401);
    assert_eq!(deliver(server.address(), "/shop/bondify", &request).await.status, 200);
    let again = deliver(server.address(), "/shop/bondify", &request).await;
    assert_eq!(again.code().unwrap(), "DUPLICATE");
}

#[catch(default)]
fn all_is_well(_: Status, _: &Request<'_>) -> Custom<&'static str> {
    Custom(Status::Ok, "all is well")
}

// The client's status is the acknowledgement, not the handler's.
#[tokio::test]
async fn a_catcher_that_turns_500_into_200_completes_the_event() {
    let (bondify, store) = probed();
    let script = Script::default();
    script.then([Step::Answer(500)]);
    let rocket = rocket(script)
        .register("/", catchers![all_is_well])
        .attach(bondify.mount(BASE, routes![on_event, failing]));
    let server = serve(rocket).await.unwrap();
    let request = confirmed();
    let response = deliver(server.address(), "/webhooks/failing", &request).await;
    assert_eq!((response.status, &*response.body), (200, "all is well"));
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

#[post("/failing", data = "<_event>")]
async fn failing(_event: BondifyEvent) -> Status {
    Status::InternalServerError
}

#[tokio::test]
async fn a_catcher_changes_no_refusal_and_no_panic() {
    let (bondify, store) = probed();
    let script = Script::default();
    script.then([Step::Panic]);
    let rocket = rocket(script)
        .register("/", catchers![all_is_well])
        .attach(bondify.mount(BASE, routes![on_event]));
    let server = serve(rocket).await.unwrap();
    let forged = deliver(server.address(), PATH, &confirmed().tampered()).await;
    assert_eq!((forged.status, forged.code().unwrap()), (401, "INVALID_SIGNATURE".into()));
    let panicked = deliver(server.address(), PATH, &confirmed()).await;
    assert_eq!((panicked.status, panicked.code().unwrap()), (500, "HANDLER_PANICKED".into()));
    assert_eq!(store.calls().last(), Some(&Call::Release(true)));
}

#[post("/fallible", data = "<event>")]
async fn fallible(event: Result<BondifyEvent, BondifyRejection>) -> &'static str {
    if event.is_ok() { "an event" } else { "none" }
}

#[tokio::test]
async fn a_handler_that_takes_the_error_cannot_acknowledge_it() {
    let (bondify, _store) = probed();
    let rocket = rocket(Script::default()).attach(bondify.mount(BASE, routes![fallible]));
    let server = serve(rocket).await.unwrap();
    let path = "/webhooks/fallible";
    assert_eq!(deliver(server.address(), path, &confirmed().tampered()).await.status, 401);
    assert_eq!(deliver(server.address(), path, &confirmed()).await.body, "an event");
}

#[post("/none", data = "<_event>")]
async fn none(_event: BondifyEvent) -> Option<&'static str> {
    None
}

#[tokio::test]
async fn a_failed_responder_releases_the_event() {
    let (bondify, store) = probed();
    let rocket = rocket(Script::default()).attach(bondify.mount(BASE, routes![none]));
    let server = serve(rocket).await.unwrap();
    assert_eq!(deliver(server.address(), "/webhooks/none", &confirmed()).await.status, 404);
    assert_eq!(store.calls().last(), Some(&Call::Release(true)));
}

struct Forwards;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Forwards {
    type Error = ();

    async fn from_request(_: &'r Request<'_>) -> request::Outcome<Self, ()> {
        Outcome::Forward(Status::NotFound)
    }
}

#[post("/bondify", rank = 1, data = "<_event>")]
async fn forwarding(_event: BondifyEvent, _guard: Forwards) -> &'static str {
    "unreachable"
}

// The first route's secret must not verify the second route's delivery.
#[tokio::test]
async fn a_forwarding_route_leaves_the_delivery_to_the_next_route() {
    let (bondify, store) = probed();
    let other = Bondify::builder(secret("whsec_other")).build().unwrap();
    let [mut next] = <[_; 1]>::try_from(routes![on_event]).unwrap();
    next.rank = 2;
    let rocket = rocket(Script::default())
        .attach(other.mount(BASE, routes![forwarding]))
        .attach(bondify.mount(BASE, vec![next]));
    let server = serve(rocket).await.unwrap();
    assert_eq!(deliver(server.address(), PATH, &confirmed()).await.status, 200);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

/// Shuts a Rocket down while its only handler runs, after the handler's client has hung up.
async fn shut_down_amid(script: &Script, drain_timeout: Duration) -> (JoinHandle<()>, ProbeStore) {
    let (bondify, store) = probed();
    let mount = bondify.mount(BASE, routes![on_event]).drain_timeout(drain_timeout);
    let (started, starting) = oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let report = rocket::fairing::AdHoc::on_liftoff("report the port", move |rocket| {
        let started = started.lock().unwrap().take().unwrap();
        started.send(rocket.config().port).unwrap();
        Box::pin(async {})
    });
    script.then([Step::held(200)]);
    let rocket = rocket(script.clone()).attach(mount).attach(report).ignite().await.unwrap();
    let shutdown = rocket.shutdown();
    // `launch` returns an error if handlers are still running. Rocket panics if it is dropped unread.
    let launch = async { drop(rocket.launch().await.map_err(|unclean| unclean.to_string())) };
    let server = tokio::spawn(launch);

    let address = SocketAddr::from(([127, 0, 0, 1], starting.await.unwrap()));
    let mut client = Connection::open(address).await.unwrap();
    client.send(&confirmed().to_http1(PATH)).await.unwrap();
    script.started(1).await;
    client.reset().unwrap();
    shutdown.notify();
    (server, store)
}

#[tokio::test]
async fn a_shutdown_waits_for_the_running_handler() {
    let script = Script::default();
    let (mut server, store) = shut_down_amid(&script, Duration::from_secs(60)).await;
    // Rocket itself stops waiting one second after grace and mercy, which are zero here.
    let ended = tokio::time::timeout(Duration::from_millis(1500), &mut server).await;
    assert!(ended.is_err(), "it still waits");
    script.resume(1);
    within_a_minute(async { server.await.unwrap() }).await;
    assert_eq!(script.progress().finished, 1);
    assert_eq!(store.calls().last(), Some(&Call::Complete(true)));
}

#[tokio::test]
async fn a_shutdown_ends_after_the_drain_timeout() {
    let script = Script::default();
    let (server, _store) = shut_down_amid(&script, Duration::from_millis(50)).await;
    within_a_minute(async { server.await.unwrap() }).await;
    assert_eq!(script.progress().finished, 0);
}
