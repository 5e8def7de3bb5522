use std::{collections::HashMap, time::Duration};

use bondify_core::{EventKey, LeaseToken, Reply};
use tokio::time::Instant;

use crate::{
    delivery::Decided,
    store::{Operation, Started},
    world::since,
};

/// The time for which a completion is tried, whatever the store does.
const COMPLETION_LIMIT: Duration = Duration::from_secs(60);

/// The longest time between the ends of two calls of one completion: a pause, and a call that times out.
const LONGEST_GAP: Duration = Duration::from_secs(6);

/// The precision of timers, with a margin.
const TICK: Duration = Duration::from_millis(2);

/// Records the calls and handlers of a world, and the violated guarantees.
pub(crate) struct Judge {
    start: Instant,
    lease: Duration,
    leases: HashMap<LeaseToken, Kept>,
    events: HashMap<EventKey, History>,
    violations: Vec<String>,
}

/// The store's behaviour towards a lease.
#[derive(Default)]
struct Kept {
    is_acquired: bool,
    a_renewal_failed: bool,
    is_being_released: bool,
    /// Its completion or release has begun, or it is lost.
    is_settled: bool,
}

#[derive(Default)]
struct History {
    running: Vec<LeaseToken>,
    /// The completion of a handler that has succeeded. `None` once another delivery has taken over.
    completion: Option<Completion>,
}

/// The tries to complete an event, which go on until it is completed, another delivery holds its lease, or
/// the limit is over.
#[derive(Clone, Copy)]
struct Completion {
    succeeded: Instant,
    last_call: Instant,
}

impl Completion {
    /// `true` if the tries have not stopped before `time`, or before the limit.
    fn lasts_until(&self, time: Instant) -> bool {
        time.min(self.succeeded + COMPLETION_LIMIT) <= self.last_call + LONGEST_GAP + TICK
    }
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
        key: EventKey,
        token: LeaseToken,
        fails: bool,
        delay: Duration,
    ) {
        let kept = self.leases.entry(token).or_default();
        let is_renewed_late = operation == Operation::Renew && kept.is_being_released;
        match operation {
            Operation::Renew => kept.a_renewal_failed |= fails || delay + TICK >= self.lease / 3,
            Operation::Complete => kept.is_settled = true,
            Operation::Release => (kept.is_settled, kept.is_being_released) = (true, true),
            Operation::Claim => {}
        }
        if is_renewed_late {
            self.violation(format!("{token:?} is renewed after its release has begun"));
        }
        if operation == Operation::Complete {
            self.completing(key);
        }
    }

    /// Records a call that is made to complete an event.
    pub(crate) fn completing(&mut self, key: EventKey) {
        if let Some(completion) = &mut self.events.entry(key).or_default().completion {
            completion.last_call = Instant::now();
        }
    }

    /// Records that a completion was told that another delivery holds the lease.
    pub(crate) fn taken_over(&mut self, key: &EventKey) {
        self.events.entry(*key).or_default().completion = None;
    }

    /// Records that a receiver got a lease.
    pub(crate) fn acquired(&mut self, token: LeaseToken) {
        self.leases.entry(token).or_default().is_acquired = true;
    }

    /// Records that a receiver was told that its lease is lost.
    pub(crate) fn lost(&mut self, token: LeaseToken) {
        self.leases.entry(token).or_default().is_settled = true;
    }

    /// Records that a handler starts, with its lease.
    pub(crate) fn starts(&mut self, event: usize, key: EventKey, lease: Option<Started>) {
        let Some(Started { token, claimed, left }) = lease else {
            return self.violation(format!("a handler of {event} starts without a lease"));
        };
        if left + TICK < self.lease * 2 / 3 {
            self.violation(format!("a handler of {event} starts with {left:?} left of its lease"));
        }
        let History { running, completion } = self.events.entry(key).or_default();
        let beside = running.iter().any(|other| is_kept(&self.leases, other));
        let given_up = completion.take().filter(|earlier| !earlier.lasts_until(claimed));
        running.push(token);
        if beside {
            self.violation(format!("two handlers of {event} run at once"));
        }
        if let Some(Completion { succeeded, last_call }) = given_up {
            let (succeeded, last_call) = (succeeded.elapsed(), last_call.elapsed());
            self.violation(format!(
                "a handler of {event} starts {succeeded:?} after one has succeeded, and {last_call:?} \
                 after the last try to complete it"
            ));
        }
    }

    pub(crate) fn ends(&mut self, key: EventKey, token: Option<LeaseToken>, succeeded: bool) {
        let Some(token) = token else { return };
        let history = self.events.entry(key).or_default();
        history.running.retain(|other| *other != token);
        if succeeded {
            let (succeeded, last_call) = (Instant::now(), Instant::now());
            history.completion = Some(Completion { succeeded, last_call });
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
    leases.get(token).is_none_or(|kept| !kept.a_renewal_failed)
}
