use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{STORE_TIMEOUT, TIME_TO_ANSWER};

/// The times by which the steps of a delivery end.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    /// The time until which the delivery waits for another one.
    pub(crate) wait_until: Instant,
    /// The time until which the delivery waits for the store.
    pub(crate) give_up: Instant,
    /// The time at which Bondify stops waiting for the answer. `None` for a call of `handle`.
    answer_by: Option<Instant>,
}

impl Deadlines {
    /// The deadlines of an event whose duplicates wait for `wait`. The sender waits for `answer`.
    pub(crate) fn new(received: Instant, wait: Duration, answer: Option<Duration>) -> Self {
        Self {
            wait_until: received + wait,
            give_up: received + wait.max(STORE_TIMEOUT) + TIME_TO_ANSWER,
            answer_by: answer.map(|answer| received + answer),
        }
    }

    /// The time until which the answer may wait for a completion. The answer is then in time for Bondify,
    /// unless the handler itself took too long.
    pub(crate) fn settle_by(&self, now: Instant) -> Instant {
        let by_store = now + STORE_TIMEOUT;
        self.answer_by.map_or(by_store, |answer_by| {
            by_store.min(answer_by - TIME_TO_ANSWER).max(now + TIME_TO_ANSWER)
        })
    }

    /// Returns `true` once Bondify has stopped waiting for the answer.
    pub(crate) fn is_too_late(&self, now: Instant) -> bool {
        self.answer_by.is_some_and(|answer_by| now > answer_by)
    }
}
