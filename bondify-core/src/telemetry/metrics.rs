//! The metrics. Without the feature `metrics` these functions do nothing.

#[cfg(feature = "metrics")]
use ::metrics::{
    Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

#[cfg(feature = "metrics")]
use tokio::time::Instant;

#[cfg(feature = "metrics")]
use super::EVENTS;
use super::Source;

/// A kind of call to a store.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Claim,
    Renew,
    Complete,
    Release,
}

#[cfg(feature = "metrics")]
impl Operation {
    const ALL: [Self; 4] = [Self::Claim, Self::Renew, Self::Complete, Self::Release];

    fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Complete => "complete",
            Self::Release => "release",
        }
    }
}

/// Describes every metric, and registers its known series, so that a rate shows their first rise. The
/// recorder has to be installed before.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        describe_counter!(
            "bondify_deliveries_total",
            "Deliveries, and calls of handle, by outcome"
        );
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
        gauge!("bondify_handlers_running").increment(0.0);
        gauge!("bondify_duplicates_waiting").increment(0.0);
        counter!("bondify_completions_retried_total").increment(0);
        counter!("bondify_memory_store_forgotten_total").increment(0);
        for result in ["renewed", "lost", "error"] {
            counter!("bondify_lease_renewals_total", "result" => result).increment(0);
        }
        for source in Source::ALL {
            for event in EVENTS {
                let _registered = histogram!("bondify_handler_seconds", &handler(source, event));
            }
        }
        for operation in Operation::ALL {
            for result in ["ok", "error"] {
                let _registered = store_calls(operation, result);
            }
        }
    }
}

/// A running handler. It counts as running until this is dropped.
pub(super) struct RunningHandler {
    #[cfg(feature = "metrics")]
    labels: [(&'static str, &'static str); 2],
    #[cfg(feature = "metrics")]
    started: Instant,
}

impl RunningHandler {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(super) fn start(source: Source, event: &'static str) -> Self {
        #[cfg(feature = "metrics")]
        gauge!("bondify_handlers_running").increment(1.0);
        Self {
            #[cfg(feature = "metrics")]
            labels: handler(source, event),
            #[cfg(feature = "metrics")]
            started: Instant::now(),
        }
    }
}

/// The labels of a handler's metrics.
#[cfg(feature = "metrics")]
fn handler(source: Source, event: &'static str) -> [(&'static str, &'static str); 2] {
    [("source", source.name()), ("event", event)]
}

#[cfg(feature = "metrics")]
impl Drop for RunningHandler {
    fn drop(&mut self) {
        gauge!("bondify_handlers_running").decrement(1.0);
        histogram!("bondify_handler_seconds", &self.labels).record(self.started.elapsed());
    }
}

/// A delivery that waits for another delivery of its event. It counts as waiting until this is dropped.
pub(crate) struct WaitingDuplicate(());

impl WaitingDuplicate {
    pub(crate) fn start() -> Self {
        #[cfg(feature = "metrics")]
        gauge!("bondify_duplicates_waiting").increment(1.0);
        Self(())
    }
}

#[cfg(feature = "metrics")]
impl Drop for WaitingDuplicate {
    fn drop(&mut self) {
        gauge!("bondify_duplicates_waiting").decrement(1.0);
    }
}

/// Makes a call to a store, and records its duration.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
pub(crate) async fn timed<T, E>(
    operation: Operation,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    #[cfg(feature = "metrics")]
    let started = Instant::now();
    let answer = call.await;
    #[cfg(feature = "metrics")]
    {
        let result = if answer.is_ok() { "ok" } else { "error" };
        store_calls(operation, result).record(started.elapsed());
    }
    answer
}

#[cfg(feature = "metrics")]
fn store_calls(operation: Operation, result: &'static str) -> Histogram {
    histogram!(
        "bondify_store_call_seconds",
        "operation" => operation.name(),
        "result" => result,
    )
}

/// Counts a renewal: `true` if the lease was held, `false` if it was lost.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
pub(crate) fn renewed<E>(renewal: &Result<bool, E>) {
    #[cfg(feature = "metrics")]
    {
        let result = match renewal {
            Ok(true) => "renewed",
            Ok(false) => "lost",
            Err(_) => "error",
        };
        counter!("bondify_lease_renewals_total", "result" => result).increment(1);
    }
}

/// Counts a completion that is retried.
pub(crate) fn completion_retried() {
    #[cfg(feature = "metrics")]
    counter!("bondify_completions_retried_total").increment(1);
}
