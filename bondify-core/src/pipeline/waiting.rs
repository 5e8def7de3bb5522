use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::MutexGuard, time::Instant};

use crate::{
    EventKey,
    limits::{FIRST_PAUSE, LONGEST_PAUSE},
};

/// The deliveries of this process that wait for a claim, in one line per key. Only the head of a line, which
/// has locked it, asks the store. The others use its answer.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Lines>);

/// The lines, each with the number of its places.
type Lines = HashMap<EventKey, (Arc<tokio::sync::Mutex<View>>, usize)>;

/// The store's answers to the heads of a line.
pub(super) struct View {
    pub(super) in_flight: bool,
    pub(super) completed: bool,
    /// The time of the last claim that failed.
    pub(super) failed: Option<Instant>,
    pause: Duration,
}

impl Default for View {
    fn default() -> Self {
        Self { in_flight: false, completed: false, failed: None, pause: FIRST_PAUSE }
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
    line: Arc<tokio::sync::Mutex<View>>,
    joined: Instant,
}

impl Waiting {
    /// Returns `true` if a delivery waits for a claim of `key`.
    pub(super) fn has_line(&self, key: &EventKey) -> bool {
        self.lines().contains_key(key)
    }

    pub(super) fn join(&self, key: EventKey) -> Place<'_> {
        let mut lines = self.lines();
        let (line, places) = lines.entry(key).or_default();
        *places += 1;
        Place { waiting: self, key, line: line.clone(), joined: Instant::now() }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The view of the head, if this place is the head of the line.
    pub(super) fn try_head(&self) -> Option<MutexGuard<'_, View>> {
        self.line.try_lock().ok()
    }

    /// Waits until this place is the head of the line.
    pub(super) async fn head(&self) -> MutexGuard<'_, View> {
        self.line.lock().await
    }

    /// Returns `true` if a claim failed while this place was in the line.
    pub(super) fn has_failed(&self, view: &View) -> bool {
        view.failed.is_some_and(|failed| self.joined <= failed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut line) = self.waiting.lines().entry(self.key) {
            let (_, places) = line.get_mut();
            *places -= 1;
            if *places == 0 {
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
