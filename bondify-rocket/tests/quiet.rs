//! The log lines of Rocket, in a process of its own, since a process has one logger.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::sync::{Mutex, PoisonError};

use bondify_rocket::{Bondify, BondifyExt, Secret};
use bondify_testkit::{Connection, Payload, Script};
use handler::{BASE, on_event};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rocket::{Request, catch, catchers, http::Status, response::status::Custom, routes};
use serve::{rocket, serve};

/// The lines at `warn` and above.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            if line.contains("inside of a custom runtime") {
                return; // that of this test
            }
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

fn lines() -> Vec<String> {
    std::mem::take(&mut *LINES.lock().unwrap())
}

#[catch(503)]
fn all_is_well(_: Status, _: &Request<'_>) -> Custom<()> {
    Custom(Status::Ok, ())
}

#[tokio::test]
async fn a_reply_logs_no_warning_and_a_failure_that_becomes_a_success_does() {
    log::set_logger(&Logger).unwrap();
    let secret = Secret::new("whsec_test").unwrap();
    let bondify = Bondify::builder(secret.clone()).build().unwrap();
    let rocket = rocket(Script::default()).register("/", catchers![all_is_well]);
    let rocket = rocket.attach(bondify.mount(BASE, routes![on_event, failing]));
    // A route that takes no event is named, and its refusal is all that is logged.
    let refused = serve::rocket(Script::default()).attach(bondify.mount(BASE, routes![unverified]));
    log::set_max_level(LevelFilter::Trace);
    refused.ignite().await.unwrap_err().to_string();
    log::set_max_level(LevelFilter::Trace);
    let errors: Vec<_> = lines().into_iter().filter(|line| line.contains("BondifyEvent")).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("the route unverified (POST /unverified)"), "{errors:?}");

    let server = serve(rocket).await.unwrap();
    log::set_max_level(LevelFilter::Trace); // Rocket has set its own
    lines();

    let mut client = Connection::open(server.address()).await.unwrap();
    let delivery = Payload::confirmed().signed_with(&secret);
    for (delivery, status) in
        [(&delivery, 200), (&delivery, 200), (&delivery.clone().tampered(), 401)]
    {
        let answer = client.post("/webhooks/bondify", delivery).await.unwrap();
        assert_eq!(answer.status, status);
    }
    // Our own warning comes here only if a dependency has `tracing` write to `log`.
    let mut lines_of_rocket = lines();
    lines_of_rocket.retain(|line| !line.starts_with("deliveries refused"));
    assert_eq!(lines_of_rocket, Vec::<String>::new());

    let delivery = Payload::confirmed().signed_with(&secret);
    assert_eq!(client.post("/webhooks/failing", &delivery).await.unwrap().status, 200);
    let lines = lines();
    assert!(lines.iter().any(|line| line.contains("turned a handler's 503 into 200")), "{lines:?}");
}

#[rocket::post("/unverified", data = "<_body>")]
async fn unverified(_body: Vec<u8>) {}

#[rocket::post("/failing", data = "<_event>")]
async fn failing(_event: bondify_rocket::BondifyEvent) -> Status {
    Status::ServiceUnavailable
}
