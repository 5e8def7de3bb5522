//! One span per delivery and, with the feature `metrics`, one count.

use tokio::time::Instant;
use tracing::{Span, field::Empty};

use crate::{
    Event, EventKey, Reply,
    limits::{DELIVERY_TIMEOUT, STORE_TIMEOUT, TIME_TO_ANSWER},
};

/// The record of a delivery, which is reported when it is dropped.
pub(crate) struct Record {
    pub(crate) span: Span,
    pub(crate) received: Instant,
    event: &'static str,
    outcome: &'static str,
}

impl Record {
    /// A delivery that reached neither an answer nor a settlement, for instance
    /// because its sender hung up half-way through the body.
    const ABANDONED: &str = "ABANDONED";

    pub(crate) fn start() -> Self {
        let span = tracing::info_span!(
            "bondify.delivery",
            event = Empty,
            session = Empty,
            outcome = Empty,
            elapsed_ms = Empty,
        );
        // One that nobody listens to is not entered again and again for the `log` crate.
        let span = if span.is_disabled() { Span::none() } else { span };
        Self { span, received: Instant::now(), event: "none", outcome: Self::ABANDONED }
    }

    pub(crate) fn verified(&mut self, event: &Event, key: EventKey) {
        self.event = match event {
            Event::Confirmed(_) => "auth.confirmed",
            Event::Cancelled(_) => "auth.cancelled",
            Event::Unknown(_) => "unknown", // a name would make the label unbounded
        };
        if !self.span.is_disabled() {
            self.span.record("event", event.name());
            self.span.record("session", tracing::field::display(key.short()));
        }
    }

    pub(crate) fn refused(&mut self, reply: Reply) -> Reply {
        tracing::debug!(parent: &self.span, code = reply.code(), "delivery answered");
        self.outcome = reply.code();
        reply
    }

    pub(crate) fn handled(&mut self, accepted: bool) {
        let elapsed = self.received.elapsed();
        if elapsed > DELIVERY_TIMEOUT {
            tracing::warn!(
                parent: &self.span,
                ?elapsed,
                "the answer is too late: Bondify has stopped waiting for this delivery"
            );
        }
        self.outcome = if accepted { "ACCEPTED" } else { "REJECTED" };
    }

    /// Until when the answer may wait for the store: in time for Bondify, unless the
    /// handler itself took too long.
    pub(crate) fn settle_by(&self) -> Instant {
        let now = Instant::now();
        let in_time = self.received + DELIVERY_TIMEOUT - TIME_TO_ANSWER;
        (now + STORE_TIMEOUT).min(in_time).max(now + TIME_TO_ANSWER)
    }

    pub(crate) fn panicked(&mut self) {
        tracing::error!(parent: &self.span, "the handler panicked");
        self.outcome = Reply::HandlerPanicked.code();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.span.is_disabled() {
            self.span.record("outcome", self.outcome);
            self.span.record("elapsed_ms", self.received.elapsed().as_millis() as u64);
        }
        #[cfg(feature = "metrics")]
        metrics::counter!(
            "bondify_deliveries_total",
            "event" => self.event,
            "outcome" => self.outcome,
        )
        .increment(1);
    }
}
