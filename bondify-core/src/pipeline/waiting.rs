use std::{
    collections::{HashMap, hash_map::Entry},
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

/// The deliveries of this process that wait for a claim, in one line per key. Only the head of a line asks
/// the store. The others use its answer.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<EventKey, (Arc<Line>, Members)>>);

/// The number of places in a line.
type Members = usize;

#[derive(Default)]
struct Line {
    head: tokio::sync::Mutex<View>,
    joined: AtomicU64,
}

/// The store's answers to the heads of a line.
pub(super) struct View {
    pub(super) in_flight: bool,
    pub(super) completed: bool,
    /// The first place in the line whose claim did not fail.
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

    /// Records that the head of the line handles the event.
    pub(super) fn acquired(&mut self) {
        (self.in_flight, self.pause) = (true, FIRST_PAUSE);
    }
}

/// A place in the line of a key. Dropping it leaves the line.
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    key: EventKey,
    line: Arc<Line>,
    place: u64,
}

impl Waiting {
    /// Returns `true` if a delivery waits for a claim of `key`.
    pub(super) fn has_line(&self, key: &EventKey) -> bool {
        self.lines().contains_key(key)
    }

    pub(super) fn join(&self, key: EventKey) -> Place<'_> {
        let line = {
            let mut lines = self.lines();
            let (line, members) = lines.entry(key).or_default();
            *members += 1;
            line.clone()
        };
        let place = line.joined.fetch_add(1, Ordering::Relaxed);
        Place { waiting: self, key, line, place }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<EventKey, (Arc<Line>, Members)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The view of the head, if this place is the head of the line.
    pub(super) fn try_head(&self) -> Option<MutexGuard<'_, View>> {
        self.line.head.try_lock().ok()
    }

    /// Waits until this place is the head of the line.
    pub(super) async fn head(&self, give_up: Instant) -> Result<MutexGuard<'_, View>, Elapsed> {
        let _waiting = WaitingDuplicate::start();
        timeout_at(give_up, self.line.head.lock()).await
    }

    /// Records that a claim failed, for all places that are in the line now.
    pub(super) fn failed(&self, view: &mut View) {
        view.failed_before = self.line.joined.load(Ordering::Relaxed);
    }

    /// Returns `true` if a claim failed while this place was in the line.
    pub(super) fn has_failed(&self, view: &View) -> bool {
        self.place < view.failed_before
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut line) = self.waiting.lines().entry(self.key) {
            let (_, members) = line.get_mut();
            *members -= 1;
            if *members == 0 {
                line.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn an_empty_line_is_removed() {
        let waiting = Waiting::default();
        let key = EventKey::new("auth.confirmed", "sess_1");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let places = [waiting.join(key), waiting.join(key)];
                        assert!(!waiting.lines().is_empty());
                        drop(places);
                    }
                });
            }
        });
        assert!(waiting.lines().is_empty());
    }
}
