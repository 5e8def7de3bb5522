//! Starts an axum server and a local Bondify, in which users tap Confirm and Cancel. The server gets
//! every kind of delivery over TCP, signed and retried like those of the real Bondify, with shorter
//! delays.
//!
//! Run it with `cargo run -p quickstart`. It ends with exit code 0 if every delivery was
//! answered as expected.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt};
use bondify_emulator::{
    Attempt, DeliveryId, Emulator, Fault, Outcome, Persona, ProjectSettings, Resend,
};
use tokio::net::TcpListener;

const PATH: &str = "/webhooks/bondify";
const PROJECT: &str = "proj_quickstart";

/// The number of runs of the handler, and the number of runs that still have to fail.
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
async fn main() -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}{PATH}", listener.local_addr()?);
    let project = ProjectSettings::new().id(PROJECT).webhook_url(&url);
    let emulator =
        Emulator::builder().project(project).retry_base(Duration::from_millis(2)).start().await?;

    let secret = emulator.project(PROJECT)?.secret();
    let bondify = Bondify::builder(secret).build()?;
    let handler = Arc::<Handler>::default();
    let app = Router::new().route(PATH, bondify.post(on_event)).with_state(handler.clone());
    tokio::spawn(async { axum::serve(listener, app).await });

    println!("a local Bondify delivers to {url}\n");
    println!("{:<15} {:>7} {:>6}  what happened", "event", "attempt", "status");
    let mut audience = Audience { emulator: &emulator, handler, as_expected: true };

    let confirmed = confirm(&emulator).await?;
    audience.sees(confirmed, &[HANDLED], 1).await?;

    let again = emulator.resend(confirmed, Resend::new())?;
    audience.sees(again.id, &[DUPLICATE], 0).await?;

    let session = emulator.generate(PROJECT)?;
    emulator.cancel(&session.token)?;
    let cancelled = emulator.delivery_of(&session.token).await?;
    audience.sees(cancelled.id, &[HANDLED], 1).await?;

    emulator.set_faults(PROJECT, [Fault::WrongSecret])?;
    let forged = confirm(&emulator).await?;
    audience.sees(forged, &[FORGED; 4], 0).await?;
    emulator.set_faults(PROJECT, [])?;

    audience.handler.failures_left.store(1, Ordering::SeqCst);
    let retried = confirm(&emulator).await?;
    audience.sees(retried, &[FAILED, HANDLED], 2).await?;

    bondify.drain(Duration::from_secs(1)).await?;
    if audience.as_expected {
        println!("\nevery delivery was answered as expected");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("\na delivery was not answered as expected");
        Ok(ExitCode::FAILURE)
    }
}

/// Logs a user in, and returns the delivery.
async fn confirm(emulator: &Emulator) -> anyhow::Result<DeliveryId> {
    let session = emulator.generate(PROJECT)?;
    emulator.confirm(&session.token, Persona::default())?;
    Ok(emulator.delivery_of(&session.token).await?.id)
}

const HANDLED: &str = "handled";
const FAILED: &str = "the handler failed: Bondify retries";
const DUPLICATE: &str = "a duplicate: not handled again";
const FORGED: &str = "a forged signature: never reached the handler";

/// Prints the outcome of deliveries, and compares it with the expected one.
struct Audience<'a> {
    emulator: &'a Emulator,
    handler: Arc<Handler>,
    as_expected: bool,
}

impl Audience<'_> {
    async fn sees(
        &mut self,
        delivery: DeliveryId,
        expected: &[&str],
        expected_runs: usize,
    ) -> anyhow::Result<()> {
        let delivery = self.emulator.finished(delivery).await?;
        let runs = self.handler.runs.swap(0, Ordering::SeqCst);
        let outcomes: Vec<_> = delivery.attempts.iter().map(outcome_of).collect();
        for (number, (attempt, outcome)) in delivery.attempts.iter().zip(&outcomes).enumerate() {
            let (number, status) = (number + 1, attempt.outcome.status().unwrap_or_default());
            println!("{:<15} {number:>7} {status:>6}  {outcome}", delivery.event);
        }
        if outcomes != expected || runs != expected_runs {
            let expected = expected.join(", ");
            println!("expected: {expected}; the handler ran {runs}x, not {expected_runs}x");
            self.as_expected = false;
        }
        Ok(())
    }
}

fn outcome_of(attempt: &Attempt) -> &'static str {
    let Outcome::Answered { status, response_body, .. } = &attempt.outcome else {
        return "no answer";
    };
    match status {
        204 => HANDLED,
        500 => FAILED,
        200 if response_body.contains("duplicate") => DUPLICATE,
        401 if response_body.contains("INVALID_SIGNATURE") => FORGED,
        _ => "something unexpected",
    }
}
