use std::{collections::HashMap, time::Duration};

use bondify_core::{LeaseToken, Reply};
use tokio::time::Instant;

use crate::{delivery::Decided, store::Operation, world::since};

/// The number of failed completions of one lease after which the store counts as not having kept it.
const MAX_FAILED_COMPLETIONS: u32 = 8;

/// The precision of timers, with a margin.
const TICK: Duration = Duration::from_millis(2);

/// Records the calls and handlers of a world, and the violated guarantees.
pub(crate) struct Judge {
    start: Instant,
    lease: Duration,
    leases: HashMap<LeaseToken, Kept>,
    events: HashMap<usize, History>,
    violations: Vec<String>,
}

/// The store's behaviour towards a lease.
#[derive(Default)]
struct Kept {
    is_acquired: bool,
    a_renewal_failed: bool,
    failed_completions: u32,
    is_being_released: bool,
    /// Its completion or release has begun, or it is lost.
    is_settled: bool,
}

#[derive(Default)]
struct History {
    running: Vec<LeaseToken>,
    succeeded: Option<LeaseToken>,
}

impl Judge {
    pub(crate) fn new(lease: Duration) -> Self {
        let (leases, events, violations) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { start: Instant::now(), lease, leases, events, violations }
    }

    /// Records a call of the store for a lease, and its result.
    pub(crate) fn called(
        &mut self,
        operation: Operation,
        token: LeaseToken,
        fails: bool,
        delay: Duration,
    ) {
        let kept = self.leases.entry(token).or_default();
        let is_renewed_late = operation == Operation::Renew && kept.is_being_released;
        match operation {
            Operation::Renew => kept.a_renewal_failed |= fails || delay + TICK >= self.lease / 3,
            Operation::Complete => {
                kept.is_settled = true;
                kept.failed_completions += u32::from(fails);
            }
            Operation::Release => (kept.is_settled, kept.is_being_released) = (true, true),
            Operation::Claim => {}
        }
        if is_renewed_late {
            self.violation(format!("{token:?} is renewed after its release has begun"));
        }
    }

    /// Records that a receiver got a lease.
    pub(crate) fn acquired(&mut self, token: LeaseToken) {
        self.leases.entry(token).or_default().is_acquired = true;
    }

    /// Records that a receiver was told that its lease is lost.
    pub(crate) fn lost(&mut self, token: LeaseToken) {
        self.leases.entry(token).or_default().is_settled = true;
    }

    /// Records that a handler starts, and the remaining time of its lease.
    pub(crate) fn starts(&mut self, event: usize, lease: Option<(LeaseToken, Duration)>) {
        let Some((token, left)) = lease else {
            return self.violation(format!("a handler of {event} starts without a lease"));
        };
        if left + TICK < self.lease * 2 / 3 {
            self.violation(format!("a handler of {event} starts with {left:?} left of its lease"));
        }
        let History { running, succeeded } = self.events.entry(event).or_default();
        let beside = running.iter().any(|other| is_kept(&self.leases, other));
        let again = succeeded.is_some_and(|earlier| is_kept(&self.leases, &earlier));
        running.push(token);
        if beside {
            self.violation(format!("two handlers of {event} run at once"));
        }
        if again {
            self.violation(format!("a handler of {event} starts after one has succeeded"));
        }
    }

    pub(crate) fn ends(&mut self, event: usize, token: Option<LeaseToken>, succeeded: bool) {
        let Some(token) = token else { return };
        let history = self.events.entry(event).or_default();
        history.running.retain(|other| *other != token);
        if succeeded {
            history.succeeded = Some(token);
        }
    }

    /// Records the answer to a delivery that was made after the store recovered.
    pub(crate) fn in_the_end(&mut self, event: usize, decided: Decided) {
        if matches!(decided, Decided::Handled | Decided::Replied(Reply::Duplicate)) {
            return;
        }
        self.violation(format!("{event} is stuck: {decided:?}"));
    }

    pub(crate) fn violation(&mut self, violation: String) {
        self.violations.push(format!("after {} ms: {violation}", since(self.start)));
    }

    /// The violated guarantees, once everything has ended.
    pub(crate) fn violations(&mut self) -> Vec<String> {
        let is_leaked = |kept: &&Kept| kept.is_acquired && !kept.is_settled;
        let leaked = self.leases.values().filter(is_leaked).count();
        if leaked > 0 {
            self.violation(format!("{leaked} leases were neither completed nor released"));
        }
        std::mem::take(&mut self.violations)
    }
}

fn is_kept(leases: &HashMap<LeaseToken, Kept>, token: &LeaseToken) -> bool {
    leases.get(token).is_none_or(|kept| {
        !kept.a_renewal_failed && kept.failed_completions < MAX_FAILED_COMPLETIONS
    })
}
