//! Leases and retentions that run out, by a clock that the test knows only roughly. The model allows
//! every answer that is possible within that tolerance.

use std::{
    thread,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, EventKey, LeaseToken, MemoryStore};
use fastrand::Rng;

use crate::{Answer, Budget, Call, key, random};

/// The number of threads, which mostly sleep.
const THREADS: u64 = 24;

/// The time that a lease may last longer than set: the clock lags behind when it is read, and
/// the lease is made longer by the same time.
const LEASE_SLACK: Duration = Duration::from_millis(20);

/// The time that a completed key may last longer than set. It is kept to the end of a tick.
const RETENTION_SLACK: Duration = Duration::from_millis(20 + 64);

/// The state of a key, as far as it is known.
#[derive(Clone, Copy, Debug)]
enum Model {
    Free,
    Held(LeaseToken, Span),
    Completed(Span),
}

/// The end of a lease or retention: the earliest and the latest time.
#[derive(Clone, Copy, Debug)]
struct Span {
    earliest: Instant,
    latest: Instant,
}

/// The time of a call: it read the clock between these two.
#[derive(Clone, Copy, Debug)]
struct Moment {
    began: Instant,
    ended: Instant,
}

impl Moment {
    fn plus(self, duration: Duration, slack: Duration) -> Span {
        Span { earliest: self.began + duration, latest: self.ended + duration + slack }
    }
}

impl Span {
    fn may_have_ended(self, at: Moment) -> bool {
        at.ended >= self.earliest
    }

    fn may_go_on(self, at: Moment) -> bool {
        at.began < self.latest
    }
}

impl Model {
    /// The states that the key may be in when a call is made.
    fn at(self, at: Moment) -> impl Iterator<Item = Self> {
        let (goes_on, has_ended) = match self {
            Self::Free => (true, false),
            Self::Held(_, span) | Self::Completed(span) => {
                (span.may_go_on(at), span.may_have_ended(at))
            }
        };
        goes_on.then_some(self).into_iter().chain(has_ended.then_some(Self::Free))
    }

    /// The state after this call. `None` if the call would have had another answer.
    fn after(self, call: Call, answer: Answer, at: Moment) -> Option<Self> {
        let (expected, next) = match (self, call) {
            (Self::Free, Call::Claim(lease)) => match answer {
                Answer::Claimed(Claimed::Acquired(token)) => {
                    (answer, Self::Held(token, at.plus(lease, LEASE_SLACK)))
                }
                _ => return None,
            },
            (Self::Held(..), Call::Claim(_)) => (Answer::Claimed(Claimed::InFlight), self),
            (Self::Completed(_), Call::Claim(_)) => (Answer::Claimed(Claimed::Completed), self),
            (Self::Held(held, _), Call::Renew(token, lease)) if held == token => {
                (Answer::Changed(true), Self::Held(token, at.plus(lease, LEASE_SLACK)))
            }
            (Self::Held(held, _), Call::Complete(token, retention)) if held == token => {
                (Answer::Changed(true), Self::Completed(at.plus(retention, RETENTION_SLACK)))
            }
            (Self::Held(held, _), Call::Release(token)) if held == token => {
                (Answer::Changed(true), Self::Free)
            }
            _ => (Answer::Changed(false), self),
        };
        (answer == expected).then_some(next)
    }
}

/// A key that only one thread calls the store with.
struct Player {
    key: EventKey,
    /// The possible answers.
    models: Vec<Model>,
    tokens: Vec<LeaseToken>,
}

impl Player {
    fn new(key: EventKey) -> Self {
        Self { key, models: vec![Model::Free], tokens: Vec::new() }
    }

    fn play(&mut self, store: &MemoryStore, random: &mut Rng) {
        let newest = self.tokens.last().copied().unwrap_or(LeaseToken::new(0));
        let any = random.choice(self.tokens.iter().copied()).unwrap_or(newest);
        let token = if random.u8(..4) == 0 { any } else { newest };
        let span = Duration::from_millis(random.u64(..40));
        // Sometimes so long that several ticks pass.
        let retention = span * if random.u8(..3) == 0 { 8 } else { 1 };
        let call = match random.u8(..9) {
            0..=3 => Call::Claim(span),
            4 | 5 => Call::Renew(token, span),
            6 | 7 => Call::Complete(token, retention),
            _ => Call::Release(token),
        };
        let began = Instant::now();
        let answer = call.make(store, &self.key);
        let at = Moment { began, ended: Instant::now() };
        let before = self.models.clone();
        let possible = before.iter().flat_map(|model| model.at(at));
        self.models = possible.filter_map(|model| model.after(call, answer, at)).collect();
        assert!(!self.models.is_empty(), "{call:?} at {at:?} gave {answer:?} after {before:?}");
        if let Answer::Claimed(Claimed::Acquired(token)) = answer {
            assert!(!self.tokens.contains(&token), "{token:?} was given twice");
            self.tokens.push(token);
        }
    }
}

#[test]
fn leases_and_keys_expire_neither_too_early_nor_too_late() {
    let (budget, mut random) = (Budget::new(), random());
    let store = MemoryStore::new();
    thread::scope(|threads| {
        for number in 0..THREADS {
            let (mut random, store, budget) = (random.fork(), &store, &budget);
            threads.spawn(move || {
                let mut players = [0, 1, 2, 3].map(|other| Player::new(key(4 * number + other)));
                while budget.allows() {
                    players[random.usize(..4)].play(store, &mut random);
                    if random.bool() {
                        thread::sleep(Duration::from_millis(random.u64(..50)));
                    }
                }
            });
        }
    });
    budget.report("calls");
}
