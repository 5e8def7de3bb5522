//! The completed keys of a shard. A fresh event touches one cache line, while it would touch two in a
//! general hash table: the line that shows that a key is absent is the line that the key is written to.

use std::mem;

use super::tick::NEVER;
use crate::EventKey;

/// A completed key and its expiry: 20 bytes, as a key has no alignment and a tick has 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    pub(super) key: EventKey,
    /// The last tick of its retention.
    pub(super) until: u32,
}

impl Completed {
    /// An empty slot. No tick is zero.
    const NONE: Self = Self { key: EventKey::from_bytes([0; 16]), until: 0 };

    pub(super) fn has_run_out(&self, tick: u32) -> bool {
        self.until < tick
    }

    fn is_some(&self) -> bool {
        self.until != Self::NONE.until
    }
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    slots: [Completed; SLOTS],
    /// The number of keys that found this bucket full and are in a later one.
    overflow: u32,
}

const SLOTS: usize = 3;

impl Bucket {
    const EMPTY: Self = Self { slots: [Completed::NONE; SLOTS], overflow: 0 };
}

/// A hash table of buckets. A key is in its own bucket or, if that was full, in a later one.
/// Each bucket counts the keys that found it full, so a search ends at the first bucket with a
/// count of zero, and removing a key leaves no tombstone.
pub(super) struct CompletedKeys {
    buckets: Box<[Bucket]>,
    len: usize,
    /// The earliest tick in which a key may run out.
    earliest: u32,
}

impl Default for CompletedKeys {
    fn default() -> Self {
        Self::with_buckets(0)
    }
}

/// The place of a key.
#[derive(Clone, Copy)]
pub(super) struct Place {
    bucket: usize,
    slot: usize,
}

impl CompletedKeys {
    fn with_buckets(buckets: usize) -> Self {
        let buckets = vec![Bucket::EMPTY; buckets].into();
        Self { buckets, len: 0, earliest: NEVER }
    }

    pub(super) fn find(&self, key: &EventKey) -> Option<Place> {
        for bucket in self.buckets_from(self.home(key)) {
            let Bucket { slots, overflow } = &self.buckets[bucket];
            let slot = slots.iter().position(|entry| entry.key == *key && entry.is_some());
            if let Some(slot) = slot {
                return Some(Place { bucket, slot });
            }
            if *overflow == 0 {
                return None;
            }
        }
        None
    }

    pub(super) fn get(&self, place: Place) -> &Completed {
        &self.buckets[place.bucket].slots[place.slot]
    }

    /// Adds a key that is not in the table.
    pub(super) fn insert(&mut self, completed: Completed) {
        // Keep the table at most three quarters full.
        if 4 * (self.len + 1) > 3 * SLOTS * self.buckets.len() {
            self.resize(self.buckets.len() + self.buckets.len() / 2 + 1);
        }
        self.put(completed);
    }

    pub(super) fn remove(&mut self, place: Place) -> Completed {
        let slot = &mut self.buckets[place.bucket].slots[place.slot];
        let removed = mem::replace(slot, Completed::NONE);
        for bucket in self.buckets_from(self.home(&removed.key)) {
            if bucket == place.bucket {
                break;
            }
            self.buckets[bucket].overflow -= 1;
        }
        self.len -= 1;
        removed
    }

    pub(super) fn remove_first(&mut self) -> Option<Completed> {
        let first = self.iter().min_by_key(|completed| completed.until)?.key;
        self.find(&first).map(|place| self.remove(place))
    }

    fn put(&mut self, completed: Completed) {
        for bucket in self.buckets_from(self.home(&completed.key)) {
            let Bucket { slots, overflow } = &mut self.buckets[bucket];
            if let Some(free) = slots.iter_mut().find(|slot| !slot.is_some()) {
                *free = completed;
                break;
            }
            *overflow += 1;
        }
        self.len += 1;
        self.earliest = self.earliest.min(completed.until);
    }

    fn resize(&mut self, buckets: usize) {
        let old = mem::replace(self, Self::with_buckets(buckets));
        old.iter().for_each(|completed| self.put(*completed));
    }

    /// The bucket that a key belongs in. Keys are spread evenly over any number of buckets.
    fn home(&self, key: &EventKey) -> usize {
        ((u128::from(key.bits() as u64) * self.buckets.len() as u128) >> 64) as usize
    }

    /// The indexes of all buckets, beginning with `first` and wrapping around.
    fn buckets_from(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        (first..self.buckets.len()).chain(0..first)
    }

    fn iter(&self) -> impl Iterator<Item = &Completed> {
        self.buckets.iter().flat_map(|bucket| &bucket.slots).filter(|slot| slot.is_some())
    }

    pub(super) fn may_hold_expired(&self, tick: u32) -> bool {
        self.earliest < tick
    }

    /// Drops the keys that have run out before `tick`, and returns their number.
    pub(super) fn drop_expired(&mut self, tick: u32) -> usize {
        if !self.may_hold_expired(tick) {
            return 0;
        }
        let before = self.len;
        for bucket in 0..self.buckets.len() {
            for slot in 0..SLOTS {
                let place = Place { bucket, slot };
                if self.get(place).is_some() && self.get(place).has_run_out(tick) {
                    self.remove(place);
                }
            }
        }
        self.earliest = self.iter().map(|completed| completed.until).min().unwrap_or(NEVER);
        // Gives back the memory of a table that is mostly empty.
        if 4 * self.len < SLOTS * self.buckets.len() {
            self.resize((2 * self.len).div_ceil(SLOTS));
        }
        before - self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn key(number: u64) -> EventKey {
        EventKey::new("auth.confirmed", number.to_le_bytes())
    }

    #[test]
    fn a_bucket_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    /// After the same steps it holds the same keys as a `HashMap`.
    #[test]
    fn it_behaves_as_a_hash_map() {
        let (mut table, mut map) = (CompletedKeys::default(), HashMap::new());
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        // The table grows, shrinks, and stays so small that buckets overflow.
        for step in 0..20_000 {
            let few = [3, 40, 700][step / 500 % 3];
            let (key, until) = (key(next(few)), 1 + next(100) as u32);
            match table.find(&key) {
                Some(place) => {
                    assert_eq!(map.remove(&key), Some(table.remove(place).until));
                }
                None => {
                    table.insert(Completed { key, until });
                    assert_eq!(map.insert(key, until), None);
                }
            }
            if step % 97 == 0 {
                let before = map.len();
                map.retain(|_, until| *until >= 20);
                assert_eq!(table.drop_expired(20), before - map.len());
                assert!(table.earliest >= 20);
            }
            assert_eq!(table.len, map.len());
            assert!(map.values().all(|until| table.earliest <= *until));
        }
        let found = map.iter().all(|(key, until)| {
            table.find(key).is_some_and(|place| table.get(place).until == *until)
        });
        assert!(found);
        assert_eq!(table.iter().count(), map.len());
    }

    #[test]
    fn keys_are_dropped_in_the_tick_after_their_last() {
        let mut table = CompletedKeys::default();
        assert!(!table.may_hold_expired(NEVER));
        for (number, until) in [(1, 9), (2, 3), (3, 5)] {
            table.insert(Completed { key: key(number), until });
        }
        assert_eq!((table.drop_expired(3), table.drop_expired(4)), (0, 1));
        assert!(!table.may_hold_expired(5) && table.may_hold_expired(6));
        assert_eq!((table.drop_expired(9), table.drop_expired(10)), (1, 1));
        assert!(!table.may_hold_expired(NEVER));
    }

    #[test]
    fn a_search_ends_when_every_bucket_has_overflowed() {
        let in_bucket = |wanted: usize| {
            let two = CompletedKeys::with_buckets(2);
            (0..).map(key).filter(move |key| two.home(key) == wanted)
        };
        let mut table = CompletedKeys::with_buckets(2);
        let (mut first, mut second) = (in_bucket(0), in_bucket(1));
        let mut put = |keys: &mut dyn Iterator<Item = EventKey>, count| {
            let keys: Vec<_> = keys.take(count).collect();
            keys.iter().for_each(|key| table.put(Completed { key: *key, until: 1 }));
            keys
        };
        let begun = put(&mut first, 4);
        put(&mut second, 2);
        for key in &begun[..2] {
            let place = table.find(key).unwrap();
            table.remove(place);
        }
        table.put(Completed { key: second.next().unwrap(), until: 1 });
        assert!(table.buckets.iter().all(|bucket| bucket.overflow > 0));
        assert!(table.find(&first.next().unwrap()).is_none());
    }

    #[test]
    fn overflow_counts_are_zero_in_an_emptied_table() {
        let mut table = CompletedKeys::default();
        (0..1000).for_each(|number| table.insert(Completed { key: key(number), until: 1 }));
        for number in 0..1000 {
            let place = table.find(&key(number)).unwrap();
            table.remove(place);
        }
        assert!(table.buckets.iter().all(|bucket| bucket.overflow == 0));
    }

    #[test]
    fn an_emptied_table_gives_its_memory_back() {
        let mut table = CompletedKeys::default();
        (0..1000).for_each(|number| table.insert(Completed { key: key(number), until: 1 }));
        assert_eq!(table.drop_expired(2), 1000);
        assert_eq!(table.buckets.len(), 0);
    }
}
