//! One span per delivery and per call of `handle`, and, with the feature `metrics`, metrics.

#[cfg_attr(not(feature = "metrics"), path = "telemetry/uncounted.rs")]
mod metrics;

use tokio::time::Instant;
use tracing::{Span, field::Empty};

use self::metrics::RunningHandler;
pub(crate) use self::metrics::{
    completion_retried, describe, register, renewed, timed, waiting_duplicate,
};
use crate::{Event, Reply, event::SecretName, rate_limited::RateLimited};

/// The record of a delivery, which is reported when it is dropped.
pub(crate) struct Record {
    pub(crate) span: Span,
    pub(crate) started: Instant,
    source: &'static str,
    handler: Option<RunningHandler>,
    event: &'static str,
    signed_by: SecretName,
    outcome: &'static str,
}

/// The source of an event that arrived as a webhook of Bondify.
pub(crate) const WEBHOOK: &str = "webhook";

/// The source of an event that the application passed to `handle`.
pub(crate) const HANDLE: &str = "handle";

/// The label of a delivery without a verified event.
const NO_EVENT: &str = "none";

/// The outcome of a handler that succeeded.
const ACCEPTED: &str = "ACCEPTED";

/// The outcome of a handler that failed.
const REJECTED: &str = "REJECTED";

/// The outcome of a delivery that was neither answered nor settled, for instance because its sender hung
/// up in the middle of the body.
const ABANDONED: &str = "ABANDONED";

/// The signatures that were refused in this process, by any `Bondify`. Anyone on the internet can cause them.
static REFUSED_SIGNATURES: RateLimited = RateLimited::new();

impl Record {
    pub(crate) fn start(source: &'static str) -> Self {
        let span = tracing::info_span!(
            "bondify.delivery",
            source,
            event = Empty,
            session = Empty,
            signed_by = Empty,
            outcome = Empty,
            elapsed_ms = Empty,
        );
        // Without a subscriber the span is not entered at each poll for the `log` crate.
        let span = if span.is_disabled() { Span::none() } else { span };
        Self {
            span,
            started: Instant::now(),
            source,
            handler: None,
            event: NO_EVENT,
            signed_by: None,
            outcome: ABANDONED,
        }
    }

    pub(crate) fn verified(&mut self, event: &Event) {
        self.event = match event {
            Event::Confirmed(_) => "auth.confirmed",
            Event::Cancelled(_) => "auth.cancelled",
            Event::Unknown(_) => "unknown", // a name would make the label unbounded
        };
        self.signed_by = event.signer().clone();
        if !self.span.is_disabled() {
            if let Some(name) = event.signed_by() {
                self.span.record("signed_by", name);
            }
            self.span.record("event", event.name());
            self.span
                .record("session", tracing::field::display(format_args!("{:.8}", event.key())));
        }
    }

    pub(crate) fn refused(&mut self, reply: Reply) -> Reply {
        tracing::debug!(parent: &self.span, code = reply.code(), "delivery answered");
        if reply == Reply::InvalidSignature
            && let Some(count) = REFUSED_SIGNATURES.due(Instant::now())
        {
            tracing::warn!(
                parent: None,
                count,
                "deliveries refused: the signature does not match any configured secret; the \
                 usual causes are a secret that is not the project's webhook secret, a proxy that \
                 changes the body, and deliveries of another project"
            );
        }
        self.outcome = reply.code();
        reply
    }

    /// Records that the handler starts.
    pub(crate) fn handling(&mut self) {
        self.handler = Some(RunningHandler::start());
    }

    /// Records the end of a handler. `is_late`: Bondify has stopped waiting for the answer.
    pub(crate) fn handled(&mut self, accepted: bool, is_late: bool) {
        if is_late {
            tracing::warn!(
                parent: &self.span,
                elapsed = ?self.started.elapsed(),
                "the delivery was answered too late: Bondify has stopped waiting for it"
            );
        }
        self.settled(if accepted { ACCEPTED } else { REJECTED });
    }

    pub(crate) fn panicked(&mut self) {
        tracing::error!(parent: &self.span, "the handler panicked");
        self.settled(Reply::HandlerPanicked.code());
    }

    fn settled(&mut self, outcome: &'static str) {
        self.handler_ended();
        tracing::debug!(parent: &self.span, outcome, "delivery settled");
        self.outcome = outcome;
    }

    fn handler_ended(&mut self) {
        if let Some(handler) = self.handler.take() {
            handler.ended(self.source, self.event);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.handler_ended();
        if !self.span.is_disabled() {
            self.span.record("outcome", self.outcome);
            self.span.record("elapsed_ms", self.started.elapsed().as_millis() as u64);
        }
        metrics::delivered(self.source, self.event, self.outcome, self.signed_by.take());
    }
}
