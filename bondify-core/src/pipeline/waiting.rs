use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use crate::{
    EventKey,
    limits::{FIRST_PAUSE, LONGEST_PAUSE},
};

/// The deliveries of this process that wait for a claim, in one line per key. A line that everybody has left
/// stays until the map is full.
#[derive(Default)]
pub(super) struct Waiting(std::sync::Mutex<HashMap<EventKey, Weak<Line>>>);

/// Only the head of a line, which has locked it, asks the store. The others use its answer.
type Line = Mutex<View>;

/// The store's answers to the heads of a line.
#[derive(Default)]
pub(super) struct View {
    pub(super) in_flight: bool,
    pub(super) completed: bool,
    /// The time of the last claim that failed.
    pub(super) failed: Option<Instant>,
    /// The last pause.
    pause: Duration,
}

impl View {
    /// Returns the pause before the store is asked again.
    pub(super) fn next_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause
    }

    /// Records that the head of the line handles the event.
    pub(super) fn acquired(&mut self) {
        (self.in_flight, self.pause) = (true, Duration::ZERO);
    }
}

impl Waiting {
    /// Returns `true` if a delivery waits for a claim of `key`.
    pub(super) fn has_line(&self, key: &EventKey) -> bool {
        self.lines().get(key).is_some_and(|line| line.strong_count() > 0)
    }

    /// Joins the line of `key`. Dropping it leaves the line.
    pub(super) fn join(&self, key: EventKey) -> Arc<Line> {
        let mut lines = self.lines();
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() == lines.capacity() {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::default();
        lines.insert(key, Arc::downgrade(&line));
        line
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EventKey, Weak<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> EventKey {
        EventKey::new("auth.confirmed", number.to_string())
    }

    #[test]
    fn lines_without_waiters_are_removed() {
        let waiting = Waiting::default();
        let stays = waiting.join(key(0));
        for number in 1..10_000 {
            drop(waiting.join(key(number)));
            assert!(!waiting.has_line(&key(number)));
        }
        assert!(waiting.lines().len() < 100);
        assert!(Arc::ptr_eq(&stays, &waiting.join(key(0))));
    }
}
