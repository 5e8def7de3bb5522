//! Variants that take turns for several rounds, so that a disturbance of the machine affects all
//! of them.

use std::{hint::black_box, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The length of the measurements.
pub(crate) struct Plan {
    pub(crate) quick: bool,
    /// The number of rounds for code that takes microseconds.
    pub(crate) rounds: usize,
    /// The time that a variant runs in each round.
    pub(crate) turn: Duration,
}

impl Plan {
    pub(crate) const FULL: Self =
        Self { quick: false, rounds: 100, turn: Duration::from_millis(5) };
    pub(crate) const QUICK: Self = Self { quick: true, rounds: 10, turn: Duration::from_millis(1) };

    /// The full figure, or the one for a quick run.
    pub(crate) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Times variants that [`turn`](Self::turn) makes: for each, nanoseconds per call in
    /// each round.
    pub(crate) fn time(&self, variants: &mut [Variant<'_, f64>]) -> Vec<Vec<f64>> {
        interleave(self.rounds, variants)
    }

    /// A variant that calls `operation` as often as fits in a turn, and measures its CPU time.
    pub(crate) fn turn<'a, T>(&self, mut operation: impl FnMut() -> T + 'a) -> Variant<'a, f64> {
        self.turn_of(move |calls| {
            let start = thread_time();
            for _ in 0..calls {
                black_box(operation());
            }
            thread_time() - start
        })
    }

    /// A variant that counts and times its calls itself.
    pub(crate) fn turn_of<'a>(
        &self,
        mut timed: impl FnMut(u64) -> Duration + 'a,
    ) -> Variant<'a, f64> {
        let turn = self.turn;
        let mut calls = 1;
        let calls = loop {
            let taken = timed(calls);
            if taken >= turn / 2 {
                let fitting = calls as f64 * turn.as_secs_f64() / taken.as_secs_f64();
                break (fitting as u64).max(1);
            }
            calls *= 2;
        };
        Box::new(move || timed(calls).as_nanos() as f64 / calls as f64)
    }
}

/// Takes one turn and returns what it measured.
pub(crate) type Variant<'a, T> = Box<dyn FnMut() -> T + 'a>;

/// Lets the variants take turns, every other round in reverse, so that no variant always runs after the
/// same other one. Returns the samples of each variant, round by round.
pub(crate) fn interleave<T>(rounds: usize, variants: &mut [Variant<'_, T>]) -> Vec<Vec<T>> {
    let mut samples: Vec<Vec<T>> = variants.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let mut turns: Vec<_> = samples.iter_mut().zip(variants).collect();
    for _ in 0..rounds {
        for (samples, variant) in &mut turns {
            samples.push(variant());
        }
        turns.reverse();
    }
    samples
}

/// The CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The median of samples and their quartiles: half of the samples lie between `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// # Panics
    ///
    /// Without samples.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&samples, share);
        Self { median: at(0.5), low: at(0.25), high: at(0.75) }
    }

    /// The spread of each round's `of` divided by its `by`.
    pub(crate) fn ratio(of: &[f64], by: &[f64]) -> Self {
        Self::of(of.iter().zip(by).map(|(of, by)| of / by))
    }

    /// The spread of a figure that is the same in each round.
    pub(crate) fn exactly(figure: f64) -> Self {
        Self { median: figure, low: figure, high: figure }
    }
}

/// The quantile `share` of sorted samples, interpolated between two of them.
///
/// # Panics
///
/// Without samples.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    Spread::of(samples.iter().copied()).median
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_half_of_the_samples_around_it() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of([7.0]), Spread::exactly(7.0));
    }

    #[test]
    fn a_ratio_is_that_of_each_round() {
        // The rounds differ by a factor of a thousand, the ratio does not.
        let spread = Spread::ratio(&[2.0, 2000.0, 20.0], &[1.0, 1000.0, 10.0]);
        assert_eq!(spread, Spread::exactly(2.0));
    }

    #[test]
    fn quantiles_reach_from_the_least_to_the_greatest() {
        let sorted = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(quantile(&sorted, 0.0), 1.0);
        assert_eq!(quantile(&sorted, 0.99), 4.96);
        assert_eq!(quantile(&sorted, 1.0), 5.0);
    }

    #[test]
    fn variants_take_turns_and_every_other_round_goes_backwards() {
        let order = RefCell::new(String::new());
        let mut variants: Vec<Variant<'_, char>> = Vec::new();
        for name in ['a', 'b', 'c'] {
            let order = &order;
            variants.push(Box::new(move || {
                order.borrow_mut().push(name);
                name
            }));
        }
        let samples = interleave(3, &mut variants);
        assert_eq!(*order.borrow(), "abccbaabc");
        assert_eq!(samples, [vec!['a'; 3], vec!['b'; 3], vec!['c'; 3]]);
    }
}
