use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::MutexGuard,
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    EventKey,
    limits::{FIRST_PAUSE, LONGEST_PAUSE},
    telemetry::WaitingDuplicate,
};

/// The deliveries of this process that wait for a claim, in one line per key. Only the head of a
/// line asks the store; the others learn from its answer.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<EventKey, Arc<Line>>>);

#[derive(Default)]
struct Line {
    head: tokio::sync::Mutex<View>,
    joined: AtomicU64,
}

/// What the heads of a line learned from the store.
pub(super) struct View {
    pub(super) in_flight: bool,
    pub(super) completed: bool,
    /// The first place in the line of which the claim did not fail.
    failed_before: u64,
    pause: Duration,
}

impl Default for View {
    fn default() -> Self {
        Self { in_flight: false, completed: false, failed_before: 0, pause: FIRST_PAUSE }
    }
}

impl View {
    /// Returns the pause before the store is asked again.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = LONGEST_PAUSE.min(pause * 2);
        pause
    }

    /// Notes that the head of the line handles the event.
    pub(super) fn acquired(&mut self) {
        (self.in_flight, self.pause) = (true, FIRST_PAUSE);
    }
}

/// A place in the line of a key, left when it is dropped.
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    key: EventKey,
    line: Arc<Line>,
    place: u64,
}

impl Waiting {
    pub(super) fn join(&self, key: EventKey) -> Place<'_> {
        let line = self.lines().entry(key).or_default().clone();
        let place = line.joined.fetch_add(1, Ordering::Relaxed);
        Place { waiting: self, key, line, place }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<EventKey, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits to be the head of the line.
    pub(super) async fn head(&self, give_up: Instant) -> Result<MutexGuard<'_, View>, Elapsed> {
        match self.line.head.try_lock() {
            Ok(view) => Ok(view), // without a timer
            Err(_) => {
                let _waiting = WaitingDuplicate::start();
                timeout_at(give_up, self.line.head.lock()).await
            }
        }
    }

    /// Notes that a claim failed, for all that are in the line now.
    pub(super) fn failed(&self, view: &mut View) {
        view.failed_before = self.line.joined.load(Ordering::Relaxed);
    }

    /// Returns whether a claim failed while this place was in the line.
    pub(super) fn has_failed(&self, view: &View) -> bool {
        self.place < view.failed_before
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.waiting.lines();
        let others = Arc::strong_count(&self.line) - 2; // the table's and this one's
        if others == 0 {
            lines.remove(&self.key);
        }
    }
}
