//! The metrics. Without the feature `metrics`, `uncounted.rs` takes the place of this file.

use ::metrics::{
    Counter, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{ABANDONED, ACCEPTED, HANDLE, NO_EVENT, REJECTED, WEBHOOK};
use crate::{Reply, Verifier, event::SecretName};

/// The labels of verified events.
const EVENTS: [&str; 3] = ["auth.confirmed", "auth.cancelled", "unknown"];

/// The replies to deliveries without a verified event.
const REFUSALS: [Reply; 10] = [
    Reply::ProjectNotFound,
    Reply::UnsupportedMediaType,
    Reply::PayloadTooLarge,
    Reply::UnreadableBody,
    Reply::MissingSignature,
    Reply::InvalidSignature,
    Reply::ParseError,
    Reply::StaleEvent,
    Reply::StoreUnavailable,
    Reply::Misconfigured,
];

/// The replies to deliveries of verified events. Only `handle` gets verified events that are stale.
const REPLIES: [Reply; 5] = [
    Reply::HandlerPanicked,
    Reply::Duplicate,
    Reply::InFlight,
    Reply::StoreUnavailable,
    Reply::StaleEvent,
];

/// Describes every metric, and registers its known series, so that a rate shows their first rise. The
/// recorder has to be installed before.
pub(crate) fn describe() {
    describe_counter!("bondify_deliveries_total", "Deliveries, and calls of handle, by outcome");
    describe_histogram!(
        "bondify_handler_seconds",
        Unit::Seconds,
        "Time from the start of a handler to its end"
    );
    describe_histogram!(
        "bondify_store_call_seconds",
        Unit::Seconds,
        "Time of a call to a dedupe store that is not in memory"
    );
    describe_gauge!("bondify_handlers_running", "Handlers that are running");
    describe_gauge!(
        "bondify_duplicates_waiting",
        "Deliveries that wait for another delivery of their event"
    );
    describe_counter!("bondify_lease_renewals_total", "Renewals of leases, by result");
    describe_counter!(
        "bondify_completions_retried_total",
        "Completions that were tried again after a failure"
    );
    describe_counter!(
        "bondify_memory_store_forgotten_total",
        "Completed events that a full store in memory forgot too early"
    );
    for name in ["bondify_handlers_running", "bondify_duplicates_waiting"] {
        gauge!(name).increment(0.0);
    }
    for name in ["bondify_completions_retried_total", "bondify_memory_store_forgotten_total"] {
        counter!(name).increment(0);
    }
    for result in ["renewed", "lost", "error"] {
        renewals(result).increment(0);
    }
    for event in EVENTS {
        let _registered = [WEBHOOK, HANDLE].map(|source| handlers(source, event));
    }
    for operation in ["claim", "renew", "complete", "release"] {
        let _registered = ["ok", "error"].map(|result| store_calls(operation, result));
    }
}

/// Registers the counters of deliveries, at zero, for the secrets that are accepted now. The names of
/// [`for_project`](crate::Bondify::for_project) are not registered: there is one for each project.
pub(crate) fn register(verifier: &Verifier) {
    for outcome in REFUSALS.map(Reply::code).into_iter().chain([ABANDONED]) {
        deliveries(WEBHOOK, NO_EVENT, outcome, None).increment(0);
    }
    for event in EVENTS {
        for outcome in REPLIES.map(Reply::code).into_iter().chain([ACCEPTED, REJECTED, ABANDONED]) {
            deliveries(HANDLE, event, outcome, None).increment(0);
            for signer in verifier.secrets.names() {
                for source in [WEBHOOK, HANDLE] {
                    deliveries(source, event, outcome, signer.clone()).increment(0);
                }
            }
        }
    }
}

/// Counts a delivery.
pub(super) fn delivered(
    source: &'static str,
    event: &'static str,
    outcome: &'static str,
    signed_by: SecretName,
) {
    deliveries(source, event, outcome, signed_by).increment(1);
}

fn deliveries(
    source: &'static str,
    event: &'static str,
    outcome: &'static str,
    signed_by: SecretName,
) -> Counter {
    let labels = [("source", source), ("event", event), ("outcome", outcome)];
    let mut labels: Vec<_> = labels.map(|(key, value)| Label::from_static_parts(key, value)).into();
    labels.extend(signed_by.map(|name| Label::new("signed_by", name)));
    counter!("bondify_deliveries_total", labels)
}

/// A gauge that counts one more until this is dropped.
pub(crate) struct Raised(&'static str);

impl Raised {
    fn new(gauge: &'static str) -> Self {
        gauge!(gauge).increment(1.0);
        Self(gauge)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}

/// Counts a delivery that waits for another delivery of its event.
pub(crate) fn waiting_duplicate() -> Raised {
    Raised::new("bondify_duplicates_waiting")
}

/// Counts a running handler.
pub(super) struct RunningHandler {
    started: Instant,
    _raised: Raised,
}

impl RunningHandler {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), _raised: Raised::new("bondify_handlers_running") }
    }

    /// Records the time that it took.
    pub(super) fn ended(self, source: &'static str, event: &'static str) {
        handlers(source, event).record(self.started.elapsed());
    }
}

fn handlers(source: &'static str, event: &'static str) -> Histogram {
    histogram!("bondify_handler_seconds", "source" => source, "event" => event)
}

/// Makes a call to a store, and records its duration.
pub(crate) fn timed<T, E>(
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let started = Instant::now();
    call.inspect(move |answer| {
        let result = if answer.is_ok() { "ok" } else { "error" };
        store_calls(operation, result).record(started.elapsed());
    })
}

fn store_calls(operation: &'static str, result: &'static str) -> Histogram {
    histogram!("bondify_store_call_seconds", "operation" => operation, "result" => result)
}

/// Counts a renewal: `true` if the lease was held, `false` if it was lost.
pub(crate) fn renewed<E>(renewal: &Result<bool, E>) {
    let result = match renewal {
        Ok(true) => "renewed",
        Ok(false) => "lost",
        Err(_) => "error",
    };
    renewals(result).increment(1);
}

fn renewals(result: &'static str) -> Counter {
    counter!("bondify_lease_renewals_total", "result" => result)
}

/// Counts a completion that is retried.
pub(crate) fn completion_retried() {
    counter!("bondify_completions_retried_total").increment(1);
}
