//! A store that is too small for its events, with one call at a time.

use std::{collections::BTreeMap, time::Duration};

use bondify_core::{Claimed, LeaseToken, MemoryStore};
use fastrand::Rng;

use crate::{Answer, Budget, Call, key, random};

const HOUR: Duration = Duration::from_secs(3600);

/// A store of one shard. Its keys are numbers; no lease and no retention runs out.
#[derive(Default)]
struct Model {
    capacity: usize,
    held: BTreeMap<u64, LeaseToken>,
    /// The retention of each completed key, in hours. No two keys have the same.
    completed: BTreeMap<u32, u64>,
    forgotten: u64,
}

impl Model {
    fn is_completed(&self, number: u64) -> bool {
        self.completed.values().any(|completed| *completed == number)
    }

    fn complete(&mut self, number: u64, hours: u32) {
        self.held.remove(&number);
        if self.completed.len() == self.capacity && self.completed.pop_first().is_some() {
            self.forgotten += 1;
        }
        self.completed.insert(hours, number);
    }
}

fn play(store: &MemoryStore, model: &mut Model, random: &mut Rng, hours: u32) {
    let number = random.u64(..3 * model.capacity as u64);
    let held = model.held.get(&number).copied();
    let token = held.unwrap_or(LeaseToken::new(random.u64(..9)));
    let call = match random.u8(..10) {
        0..=4 => Call::Claim(HOUR),
        5..=8 => Call::Complete(token, hours * HOUR),
        _ => Call::Release(token),
    };
    let answer = call.make(store, &key(number));
    let expected = match call {
        Call::Claim(_) if model.is_completed(number) => Answer::Claimed(Claimed::Completed),
        Call::Claim(_) if held.is_some() => Answer::Claimed(Claimed::InFlight),
        Call::Claim(_) => {
            let Answer::Claimed(Claimed::Acquired(token)) = answer else { panic!("{answer:?}") };
            model.held.insert(number, token);
            answer
        }
        Call::Complete(..) => {
            held.inspect(|_| model.complete(number, hours));
            Answer::Changed(held.is_some())
        }
        _ => {
            model.held.remove(&number);
            Answer::Changed(held.is_some())
        }
    };
    assert_eq!(answer, expected, "{call:?} of {number}");
    assert_eq!((store.len(), store.forgotten()), (model.completed.len(), model.forgotten));
}

#[test]
fn a_full_store_forgets_the_key_that_expires_first_and_no_other() {
    let (budget, mut random) = (Budget::new(), random());
    while budget.allows() {
        let capacity = random.usize(1..200);
        let store = MemoryStore::with_capacity(capacity);
        let mut model = Model { capacity, ..Model::default() };
        // Each retention once, in random order.
        let mut hours: Vec<_> = (1..2000).collect();
        random.shuffle(&mut hours);
        hours.into_iter().for_each(|hours| play(&store, &mut model, &mut random, hours));
    }
    budget.report("stores");
}
