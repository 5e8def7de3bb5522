use std::time::Duration;

use crate::{Plan, random};

/// The number and the delays of retries.
#[derive(Clone, Debug)]
pub(crate) struct RetrySchedule {
    /// The number of retries after the first attempt.
    pub(crate) retries: u32,
    /// The number of retries for the plans Pro and Business.
    pub(crate) priority_retries: u32,
    /// The delay before the first retry.
    pub(crate) base: Duration,
    /// The factor of each further delay.
    pub(crate) factor: f64,
    /// Whether each delay is random, from half to one and a half times its length.
    pub(crate) jitter: bool,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let base = Duration::from_secs(1);
        Self { retries: 3, priority_retries: 6, base, factor: 2.0, jitter: false }
    }
}

impl RetrySchedule {
    /// The maximum delay, for any base and factor.
    const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// The maximum number of attempts for a project on `plan`.
    pub(crate) fn attempts(&self, plan: Plan) -> u32 {
        let retries = if plan.has_priority() { self.priority_retries } else { self.retries };
        retries.saturating_add(1)
    }

    /// The delay after `failed` attempts, of which there is at least one.
    pub(crate) fn delay_after(&self, failed: usize) -> Duration {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let spread = if self.jitter { 0.5 + random::fraction() } else { 1.0 };
        let seconds = self.base.as_secs_f64() * self.factor.powi(exponent) * spread;
        let delay = Duration::try_from_secs_f64(seconds).unwrap_or(Self::MAX_DELAY);
        delay.min(Self::MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hobby_has_three_retries_and_the_others_six() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.attempts(Plan::Hobby), 4);
        assert_eq!(schedule.attempts(Plan::Pro), 7);
        assert_eq!(schedule.attempts(Plan::Business), 7);
    }

    #[test]
    fn delays_double_from_a_second() {
        let schedule = RetrySchedule::default();
        let delays: Vec<_> = (1..=6).map(|failed| schedule.delay_after(failed).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn jitter_spreads_a_delay_around_itself() {
        let schedule = RetrySchedule { jitter: true, ..RetrySchedule::default() };
        let delays: Vec<_> = (0..100).map(|_| schedule.delay_after(2)).collect();
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(1) && *most < Duration::from_secs(3));
        assert!(least < most);
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        for factor in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let schedule = RetrySchedule { factor, ..RetrySchedule::default() };
            assert!(schedule.delay_after(usize::MAX) <= RetrySchedule::MAX_DELAY);
        }
    }
}
