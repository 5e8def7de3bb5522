//! Starts an axum server and plays Bondify against it: every kind of delivery, over TCP,
//! signed and retried as the real one does it, with shorter pauses.
//!
//! Run it with `cargo run -p quickstart`. It ends with exit code 0 if every delivery was
//! answered as it should be.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_testkit::{Connection, Payload, Response, WebhookRequest};
use tokio::{net::TcpListener, time::sleep};

const PATH: &str = "/webhooks/bondify";

/// How often the handler ran, and how often it still has to fail.
#[derive(Default)]
struct Handler {
    runs: AtomicUsize,
    failures_left: AtomicUsize,
}

async fn on_event(_event: BondifyEvent, State(handler): State<Arc<Handler>>) -> StatusCode {
    handler.runs.fetch_add(1, Ordering::SeqCst);
    let one_less = |left: usize| left.checked_sub(1);
    match handler.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
        Ok(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::NO_CONTENT,
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let secret = Secret::new("whsec_quickstart")?;
    let bondify = Bondify::builder(secret.clone()).build()?;
    let handler = Arc::<Handler>::default();
    let app = Router::new().route(PATH, bondify.post(on_event)).with_state(handler.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, app).await });

    println!("playing Bondify against http://{server}{PATH}\n");
    println!("{:<15} {:>7} {:>6}  what happened", "event", "attempt", "status");
    let mut sender = Sender { server, handler, attempts: 4, as_expected: true };

    let confirmed = Payload::confirmed().signed_with(&secret);
    sender.deliver("auth.confirmed", &confirmed, &[HANDLED]).await?;
    sender.deliver("auth.confirmed", &confirmed, &[DUPLICATE]).await?;

    let cancelled = Payload::cancelled().signed_with(&secret);
    sender.deliver("auth.cancelled", &cancelled, &[HANDLED]).await?;

    let forged = Payload::confirmed().signed_with(&Secret::new("whsec_forged")?);
    sender.attempts = 1; // a forger does not wait for Bondify's schedule
    sender.deliver("auth.confirmed", &forged, &[FORGED]).await?;

    let retried = Payload::confirmed().signed_with(&secret);
    sender.attempts = 4;
    sender.handler.failures_left.store(1, Ordering::SeqCst);
    sender.deliver("auth.confirmed", &retried, &[FAILED, HANDLED]).await?;

    bondify.drain(Duration::from_secs(1)).await?;
    if sender.as_expected {
        println!("\nevery delivery was answered as it should be");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("\nsome delivery was not answered as it should be");
        Ok(ExitCode::FAILURE)
    }
}

const HANDLED: &str = "handled";
const FAILED: &str = "the handler failed: to be retried";
const DUPLICATE: &str = "a duplicate: not handled again";
const FORGED: &str = "a forged signature: never reached the handler";

/// Bondify's half: delivers, and retries with exponential backoff what is not answered
/// with 2xx.
struct Sender {
    server: SocketAddr,
    handler: Arc<Handler>,
    attempts: u32,
    as_expected: bool,
}

impl Sender {
    async fn deliver(
        &mut self,
        event: &str,
        request: &WebhookRequest,
        expected: &[&str],
    ) -> Result<(), Box<dyn Error>> {
        let mut outcomes = Vec::new();
        let mut backoff = Duration::from_millis(50);
        for attempt in 1..=self.attempts {
            let runs = self.handler.runs.load(Ordering::SeqCst);
            let response = Connection::open(self.server).await?.post(PATH, request).await?;
            let handled = self.handler.runs.load(Ordering::SeqCst) > runs;
            let outcome = outcome_of(&response, handled);
            println!("{event:<15} {attempt:>7} {:>6}  {outcome}", response.status);
            outcomes.push(outcome);
            if (200..300).contains(&response.status) {
                break;
            }
            if attempt < self.attempts {
                sleep(backoff).await;
                backoff *= 2;
            }
        }
        if outcomes != expected {
            println!("{:<15} {:>7} {:>6}  expected: {}", "", "", "", expected.join(", "));
            self.as_expected = false;
        }
        Ok(())
    }
}

fn outcome_of(response: &Response, handled: bool) -> &'static str {
    match (response.status, response.code().as_deref(), handled) {
        (204, None, true) => HANDLED,
        (500, None, true) => FAILED,
        (200, Some("DUPLICATE"), false) => DUPLICATE,
        (401, Some("INVALID_SIGNATURE"), false) => FORGED,
        _ => "something unexpected",
    }
}
