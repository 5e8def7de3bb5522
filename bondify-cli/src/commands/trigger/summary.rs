use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Instant,
};

use serde::Serialize;

use super::attempt::Attempt;
use crate::{
    outcome::Outcome,
    output::{BAD, GOOD, millis},
};

/// Counts the outcomes of deliveries.
pub(super) struct Tally {
    start: Instant,
    events: u64,
    accepted: u64,
    outcomes: BTreeMap<String, u64>,
    latencies: Vec<f64>,
}

impl Tally {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            events: 0,
            accepted: 0,
            outcomes: BTreeMap::new(),
            latencies: Vec::new(),
        }
    }

    /// Counts the attempts of one event.
    pub(super) fn add_event(&mut self, attempts: &[Attempt]) {
        self.events += 1;
        attempts.iter().for_each(|attempt| self.add(attempt));
    }

    fn add(&mut self, attempt: &Attempt) {
        self.accepted += u64::from(attempt.outcome.is_accepted());
        let label = match &attempt.outcome {
            Outcome::Answered { status, latency_ms, .. } => {
                self.latencies.push(*latency_ms);
                status.0.to_string()
            }
            Outcome::Unanswered { error } => error.clone(),
        };
        *self.outcomes.entry(label).or_default() += 1;
    }

    /// Sums up the outcomes so far of `wanted` events.
    pub(super) fn sum_up(self, wanted: u64) -> Summary {
        let summary = Figures {
            deliveries: self.outcomes.values().sum(),
            not_sent: wanted.saturating_sub(self.events),
            accepted: self.accepted,
            elapsed_ms: millis(self.start.elapsed()),
            outcomes: self.outcomes,
            latency_ms: Latency::of(self.latencies),
        };
        Summary { summary }
    }
}

#[derive(Serialize)]
pub(super) struct Summary {
    summary: Figures,
}

#[derive(Serialize)]
struct Figures {
    deliveries: u64,
    /// The number of events that were not sent, because the command was interrupted.
    #[serde(skip_serializing_if = "is_zero")]
    not_sent: u64,
    accepted: u64,
    elapsed_ms: f64,
    /// The number of deliveries by status, or by the reason why there is no answer.
    outcomes: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<Latency>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    fn of(mut millis: Vec<f64>) -> Option<Self> {
        millis.sort_unstable_by(f64::total_cmp);
        let max = *millis.last()?;
        let percentile = |percent: usize| {
            let rank = (millis.len() * percent).div_ceil(100);
            millis[rank - 1]
        };
        Some(Self { p50: percentile(50), p90: percentile(90), p99: percentile(99), max })
    }
}

impl Summary {
    pub(super) fn all_accepted(&self) -> bool {
        self.summary.accepted == self.summary.deliveries
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = if self.all_accepted() { GOOD } else { BAD };
        let Figures { deliveries, not_sent, accepted, elapsed_ms, outcomes, latency_ms } =
            &self.summary;
        write!(f, "{style}{accepted} of {deliveries} accepted{style:#} in {elapsed_ms:.1} ms")?;
        if *not_sent > 0 {
            write!(f, ", interrupted: {not_sent} not sent")?;
        }
        for (outcome, count) in outcomes {
            write!(f, "\n{count:>9}  {outcome}")?;
        }
        if let Some(Latency { p50, p90, p99, max }) = latency_ms {
            write!(f, "\nlatency in ms: p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, max {max:.1}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let hundred = Latency::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(hundred, Some(Latency { p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 }));
        let two = Latency::of(vec![2.0, 1.0]);
        assert_eq!(two, Some(Latency { p50: 1.0, p90: 2.0, p99: 2.0, max: 2.0 }));
        assert_eq!(Latency::of(vec![]), None);
    }
}
