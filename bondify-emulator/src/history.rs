use std::{collections::VecDeque, time::SystemTime};

use crate::{Change, clock::unix_ms};

/// The latest changes, numbered, so that a page can ask for those that it has not shown.
pub(crate) struct History {
    /// The number of the next change.
    next: u64,
    latest: VecDeque<Change>,
}

impl History {
    /// The number of changes that are kept.
    const CAPACITY: usize = 1024;

    /// Starts to count at the time of the start, so that a number of an earlier emulator is not one
    /// of this emulator.
    pub(crate) fn new(now: SystemTime) -> Self {
        Self { next: unix_ms(now), latest: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.latest.push_back(change);
        self.next += 1;
        if self.latest.len() > Self::CAPACITY {
            self.latest.pop_front();
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The changes from this number on; `None` if they are not kept or the number is unknown.
    pub(crate) fn from(&self, number: u64) -> Option<Vec<Change>> {
        let count = usize::try_from(self.next.checked_sub(number)?).ok()?;
        let skipped = self.latest.len().checked_sub(count)?;
        Some(self.latest.iter().skip(skipped).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_from_each_number_on() {
        let mut history = History::new(SystemTime::UNIX_EPOCH);
        let name = |number: usize| Change::ProjectDeleted(number.to_string());
        for number in 0..History::CAPACITY + 10 {
            history.push(name(number));
        }
        assert_eq!(history.next(), 1034);
        assert_eq!(history.from(1034).unwrap().len(), 0);
        let last = history.from(1032).unwrap();
        let names: Vec<_> = last
            .iter()
            .map(|change| match change {
                Change::ProjectDeleted(name) => &**name,
                _ => "",
            })
            .collect();
        assert_eq!(names, ["1032", "1033"]);
        assert_eq!(history.from(10).unwrap().len(), History::CAPACITY);
        for unknown in [0, 9, 1035, u64::MAX] {
            assert!(history.from(unknown).is_none(), "{unknown}");
        }
    }
}
