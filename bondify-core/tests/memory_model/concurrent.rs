//! Calls by several threads at once. The answers have to be linearizable: some sequential order of the
//! calls gives the same answers, and no call precedes another that had ended before it began.

use std::{
    collections::HashSet,
    hint, mem,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use bondify_core::{Claimed, EventKey, LeaseToken, MemoryStore};
use fastrand::Rng;

use crate::{Answer, Budget, Call, key, random};

const THREADS: usize = 3;
const CALLS_PER_THREAD: usize = 4;
const KEYS: usize = 2;
const LONG: Duration = Duration::from_secs(3600);

/// A call that was made, with its start and its end by a clock that counts calls and answers.
#[derive(Clone, Debug)]
struct Entry {
    key: usize,
    call: Call,
    answer: Answer,
    began: u64,
    ended: u64,
}

/// The state of a key whose leases never run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Model {
    #[default]
    Free,
    Held(LeaseToken),
    Completed,
}

impl Model {
    /// The state after this call. `None` if the call would have had another answer.
    fn after(self, call: Call, answer: Answer) -> Option<Self> {
        let (expected, next) = match (self, call) {
            (Self::Free, Call::Claim(_)) => match answer {
                Answer::Claimed(Claimed::Acquired(token)) => (answer, Self::Held(token)),
                _ => return None,
            },
            (Self::Held(_), Call::Claim(_)) => (Answer::Claimed(Claimed::InFlight), self),
            (Self::Completed, Call::Claim(_)) => (Answer::Claimed(Claimed::Completed), self),
            (Self::Held(held), Call::Renew(token, _)) if held == token => {
                (Answer::Changed(true), self)
            }
            (Self::Held(held), Call::Complete(token, _)) if held == token => {
                (Answer::Changed(true), Self::Completed)
            }
            (Self::Held(held), Call::Release(token)) if held == token => {
                (Answer::Changed(true), Self::Free)
            }
            _ => (Answer::Changed(false), self),
        };
        (answer == expected).then_some(next)
    }
}

/// Returns `true` if some order of the calls gives all answers.
fn is_explained(history: &[Entry]) -> bool {
    let all_made = (1_u64 << history.len()) - 1;
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, Model::default())];
    while let Some((made, model)) = open.pop() {
        if made == all_made {
            return true;
        }
        if !seen.insert((made, model)) {
            continue;
        }
        let is_left = |number: &usize| made & (1 << number) == 0;
        let left = || (0..history.len()).filter(is_left);
        let first_end = left().map(|number| history[number].ended).min().unwrap_or(u64::MAX);
        open.extend(left().filter(|number| history[*number].began < first_end).filter_map(
            |number| {
                let Entry { call, answer, .. } = history[number];
                Some((made | 1 << number, model.after(call, answer)?))
            },
        ));
    }
    false
}

/// The state that the threads of one round share.
struct Round {
    store: MemoryStore,
    keys: [EventKey; KEYS],
    /// The token that was acquired last of each key, by any thread.
    acquired: [AtomicU64; KEYS],
    clock: AtomicU64,
    arrived: AtomicUsize,
    history: Mutex<Vec<Entry>>,
}

impl Round {
    fn new(store: MemoryStore, number: u64) -> Self {
        Self {
            store,
            keys: [0, 1].map(|other| key(number * 2 + other)),
            acquired: Default::default(),
            clock: AtomicU64::new(0),
            arrived: AtomicUsize::new(0),
            history: Mutex::default(),
        }
    }

    fn play(&self, random: &mut Rng) {
        let mut entries = Vec::with_capacity(CALLS_PER_THREAD);
        let mut own = [0; KEYS];
        self.start_together();
        for _ in 0..CALLS_PER_THREAD {
            let key = random.usize(..KEYS);
            // Its own token, another thread's, another key's, or one that was never given out.
            let token = LeaseToken::new(match random.u8(..8) {
                0..=4 => own[key],
                5 => self.acquired[key].load(SeqCst),
                6 => own[(key + 1) % KEYS],
                _ => random.u64(..100),
            });
            let call = match random.u8(..10) {
                0..=4 => Call::Claim(LONG),
                5 => Call::Renew(token, LONG),
                6 | 7 => Call::Complete(token, LONG),
                _ => Call::Release(token),
            };
            let entry = self.record(key, call);
            if let Answer::Claimed(Claimed::Acquired(token)) = entry.answer {
                own[key] = token.get();
                self.acquired[key].store(token.get(), SeqCst);
            }
            entries.push(entry);
        }
        self.history.lock().unwrap().append(&mut entries);
    }

    fn record(&self, key: usize, call: Call) -> Entry {
        let began = self.clock.fetch_add(1, SeqCst);
        let answer = call.make(&self.store, &self.keys[key]);
        let ended = self.clock.fetch_add(1, SeqCst);
        Entry { key, call, answer, began, ended }
    }

    /// Starts the threads together. Threads that start one after the other seldom overlap.
    fn start_together(&self) {
        self.arrived.fetch_add(1, SeqCst);
        for turn in 0_u32.. {
            if self.arrived.load(SeqCst) >= THREADS {
                return;
            }
            if turn % 128 == 127 { thread::yield_now() } else { hint::spin_loop() }
        }
    }

    fn check(&self) {
        let mut history = mem::take(&mut *self.history.lock().unwrap());
        // The final state of each key has to fit as well.
        history.extend((0..KEYS).map(|key| self.record(key, Call::Claim(LONG))));
        for key in 0..KEYS {
            let of_key: Vec<_> = history.iter().filter(|entry| entry.key == key).cloned().collect();
            assert!(is_explained(&of_key), "no order explains this: {of_key:#?}");
            let mut tokens = HashSet::new();
            for entry in &of_key {
                if let Answer::Claimed(Claimed::Acquired(token)) = entry.answer {
                    assert!(tokens.insert(token), "{token:?} was given twice: {of_key:#?}");
                }
            }
        }
    }
}

#[test]
fn concurrent_calls_are_linearizable() {
    let (budget, mut random) = (Budget::new(), random());
    while budget.allows() {
        // Sometimes many shards, sometimes one, and never full.
        let capacity = random.choice([6800, MemoryStore::DEFAULT_CAPACITY]).unwrap_or_default();
        let store = MemoryStore::with_capacity(capacity);
        let rounds: Vec<_> = (0..500).map(|number| Round::new(store.clone(), number)).collect();
        let play = |mut random: Rng| rounds.iter().for_each(|round| round.play(&mut random));
        thread::scope(|threads| {
            for _ in 1..THREADS {
                let random = random.fork();
                threads.spawn(|| play(random));
            }
            play(random.fork());
        });
        rounds.iter().for_each(Round::check);
    }
    budget.report("times 500 rounds");
}

#[test]
fn a_history_that_is_not_linearizable_is_detected() {
    let [one, two] = [1, 2].map(LeaseToken::new);
    let entry = |call, answer, began, ended| Entry { key: 0, call, answer, began, ended };
    let acquired = |token, began, ended| {
        entry(Call::Claim(LONG), Answer::Claimed(Claimed::Acquired(token)), began, ended)
    };
    let completed = |token, began, ended| {
        entry(Call::Complete(token, LONG), Answer::Changed(true), began, ended)
    };
    let released =
        |token, began, ended| entry(Call::Release(token), Answer::Changed(true), began, ended);

    assert!(is_explained(&[acquired(one, 0, 1), completed(one, 2, 3)]));
    assert!(is_explained(&[acquired(two, 0, 5), acquired(one, 1, 2), released(one, 3, 4)]));
    assert!(!is_explained(&[acquired(one, 0, 3), acquired(two, 1, 2)]), "two holders");
    assert!(!is_explained(&[acquired(one, 0, 1), completed(two, 2, 3)]), "another's token");
    assert!(!is_explained(&[acquired(two, 0, 1), acquired(one, 2, 3), released(two, 4, 5)]));
}
