//! A map whose entries expire.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bondify_core::EventKey;
use tokio::time::Instant;

/// A map of sessions. It drops each entry after a time, and the oldest ones when it is full.
pub(crate) struct Recent<T> {
    keep: Duration,
    max: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_key: HashMap<EventKey, (Instant, T)>,
    oldest_first: VecDeque<(Instant, EventKey)>,
}

impl<T: Clone> Recent<T> {
    pub(crate) fn new(keep: Duration, max: usize) -> Self {
        let entries = Entries { by_key: HashMap::new(), oldest_first: VecDeque::new() };
        Self { keep, max, entries: Mutex::new(entries) }
    }

    pub(crate) fn get(&self, key: &EventKey) -> Option<T> {
        let entries = self.lock();
        let (at, value) = entries.by_key.get(key)?;
        (at.elapsed() < self.keep).then(|| value.clone())
    }

    pub(crate) fn insert(&self, key: &EventKey, value: T) {
        self.get_or_insert(key, true, || value);
    }

    /// Returns the value of `key`, or inserts one.
    pub(crate) fn get_or_insert_with(&self, key: &EventKey, value: impl FnOnce() -> T) -> T {
        self.get_or_insert(key, false, value)
    }

    fn get_or_insert(&self, key: &EventKey, replace: bool, value: impl FnOnce() -> T) -> T {
        let mut entries = self.lock();
        let now = Instant::now();
        let kept = entries.by_key.get(key).filter(|(at, _)| !replace && now - *at < self.keep);
        if let Some((_, value)) = kept {
            return value.clone();
        }
        let value = value();
        entries.by_key.insert(*key, (now, value.clone()));
        entries.oldest_first.push_back((now, *key));
        entries.forget(self.keep, self.max);
        value
    }

    pub(crate) fn remove(&self, key: &EventKey) {
        self.lock().by_key.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entries<T> {
    fn forget(&mut self, keep: Duration, max: usize) {
        while let Some((at, key)) = self.oldest_first.front() {
            if self.oldest_first.len() <= max && at.elapsed() < keep {
                return;
            }
            // A key that was inserted again since is younger.
            if self.by_key.get(key).is_some_and(|(since, _)| since == at) {
                self.by_key.remove(key);
            }
            self.oldest_first.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> EventKey {
        EventKey::new("test", name)
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_forgotten_after_its_time() {
        let recent = Recent::new(2 * SECOND, 10);
        recent.insert(&key("a"), 1);
        tokio::time::advance(SECOND).await;
        assert_eq!(
            (recent.get(&key("a")), recent.get_or_insert_with(&key("a"), || 2)),
            (Some(1), 1)
        );
        tokio::time::advance(SECOND).await;
        assert_eq!((recent.get(&key("a")), recent.get_or_insert_with(&key("a"), || 2)), (None, 2));
        recent.insert(&key("b"), 3);
        assert_eq!(recent.lock().oldest_first.len(), 2, "the first one needs no memory any more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_entries_are_forgotten_when_it_is_full() {
        let recent = Recent::new(SECOND, 2);
        for name in ["a", "b", "a", "c"] {
            tokio::time::advance(Duration::from_millis(1)).await;
            recent.insert(&key(name), ());
        }
        assert_eq!(
            ["a", "b", "c"].map(|name| recent.get(&key(name)).is_some()),
            [true, false, true]
        );
        assert_eq!(recent.lock().by_key.len(), 2);
    }
}
