//! The in-memory store against simple models of it, in random order.
//!
//! Each test runs for a second, unless `BONDIFY_TEST_MODEL_SECONDS` sets another time. The calls are
//! drawn from a random seed, which is printed. `BONDIFY_TEST_SEED` sets it.
#![allow(clippy::print_stdout, reason = "the output of a failed test has its seed")]
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

mod concurrent;
mod expiring;
mod full;

use std::{
    env, fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, MemoryStore};
use fastrand::Rng;
use futures_util::FutureExt;

/// A call of a store.
#[derive(Clone, Copy, Debug)]
enum Call {
    Claim(Duration),
    Renew(LeaseToken, Duration),
    Complete(LeaseToken, Duration),
    Release(LeaseToken),
}

/// The answer to a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Claimed(Claimed),
    Changed(bool),
}

impl Call {
    fn make(self, store: &MemoryStore, key: &EventKey) -> Answer {
        match self {
            Self::Claim(lease) => Answer::Claimed(now(store.claim(key, lease))),
            Self::Renew(token, lease) => Answer::Changed(now(store.renew(key, &token, lease))),
            Self::Complete(token, retention) => {
                Answer::Changed(now(store.complete(key, &token, retention)))
            }
            Self::Release(token) => Answer::Changed(now(store.release(key, &token))),
        }
    }
}

/// The answer of a call. Every call of this store answers on its first poll.
fn now<T, E: fmt::Debug>(call: impl Future<Output = Result<T, E>>) -> T {
    let answer = call.now_or_never().expect("no waiting");
    answer.expect("the store answers")
}

fn key(number: u64) -> EventKey {
    EventKey::new("auth.confirmed", number.to_le_bytes())
}

/// The time that a test may take.
struct Budget {
    end: Instant,
    used: AtomicU64,
}

impl Budget {
    fn new() -> Self {
        let seconds = number("BONDIFY_TEST_MODEL_SECONDS").unwrap_or(1);
        Self { end: Instant::now() + Duration::from_secs(seconds), used: AtomicU64::new(0) }
    }

    /// Returns `true` if there is time for one more step, and counts it.
    fn allows(&self) -> bool {
        self.used.fetch_add(1, Relaxed);
        Instant::now() < self.end
    }

    fn report(&self, what: &str) {
        println!("{what}: {}", self.used.load(Relaxed));
    }
}

fn random() -> Rng {
    let seed = number("BONDIFY_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("BONDIFY_TEST_SEED={seed}");
    Rng::with_seed(seed)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("the variable is a number"))
}
