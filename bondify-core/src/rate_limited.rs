use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use crate::limits::WARNING_INTERVAL;

/// Counts the reasons of a warning that is logged at most once in [`WARNING_INTERVAL`]: the count since the
/// last warning, and the time of that warning.
pub(crate) struct RateLimited(Mutex<(u64, Option<Instant>)>);

impl RateLimited {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new((0, None)))
    }

    /// Increments the count. Returns it if a warning is due.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, warned) = &mut *state;
        *count += 1;
        if warned.is_some_and(|warned| now.saturating_duration_since(warned) < WARNING_INTERVAL) {
            return None;
        }
        *warned = Some(now);
        Some(mem::take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_due_once_a_minute_and_counts_its_reasons_in_between() {
        let (limited, start) = (RateLimited::new(), Instant::now());
        assert_eq!(limited.due(start), Some(1));
        assert_eq!(limited.due(start), None);
        assert_eq!(limited.due(start + WARNING_INTERVAL / 2), None);
        assert_eq!(limited.due(start + WARNING_INTERVAL), Some(3));
        assert_eq!(limited.due(start + WARNING_INTERVAL), None);
    }
}
