use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    time::Duration,
};

use tokio::time::Instant;

use crate::DeliveryId;

/// The queue of deliveries.
///
/// Due deliveries start by priority, then project by project in turn, then oldest first, within
/// two limits on attempts in flight: per project, and in total. An attempt that takes long no
/// longer counts toward the total, so a slow endpoint only delays its own project.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    waiting: BTreeMap<(Instant, DeliveryId), Job>,
    in_flight: HashMap<DeliveryId, (String, Instant)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_project: usize,
    /// The time-out of each attempt.
    pub(crate) timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 64, per_project: 16, timeout: Duration::from_secs(10) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: DeliveryId,
    pub(crate) project_id: String,
    pub(crate) priority: bool,
    pub(crate) due: Instant,
}

impl Queue {
    /// The time after which an attempt no longer counts toward the total.
    const SLOW_AFTER: Duration = Duration::from_millis(250);

    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, waiting: BTreeMap::new(), in_flight: HashMap::new() }
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.waiting.insert((job.due, job.id), job);
    }

    /// Takes the next delivery that may start at `now`. It is in flight until
    /// [`done`](Self::done).
    pub(crate) fn pop(&mut self, now: Instant) -> Option<DeliveryId> {
        if self.recent(now).count() >= self.limits.total {
            return None;
        }
        let mut busy: HashMap<&str, usize> = HashMap::new();
        for (project_id, _) in self.in_flight.values() {
            *busy.entry(project_id).or_default() += 1;
        }
        let busy = |job: &Job| busy.get(&*job.project_id).copied().unwrap_or(0);
        let due = self.waiting.range(..=(now, DeliveryId::MAX));
        let free = due.filter(|(_, job)| busy(job) < self.limits.per_project);
        let (key, _) = free.min_by_key(|(key, job)| (!job.priority, busy(job), **key))?;
        let key = *key;
        let job = self.waiting.remove(&key)?;
        self.in_flight.insert(job.id, (job.project_id, now));
        Some(job.id)
    }

    pub(crate) fn done(&mut self, id: DeliveryId) {
        self.in_flight.remove(&id);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.in_flight.clear();
    }

    /// The time at which [`pop`](Self::pop) may return a delivery, if none is done before.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let later = (Bound::Excluded((now, DeliveryId::MAX)), Bound::Unbounded);
        let next_due = self.waiting.range(later).next().map(|((due, _), _)| *due);
        let next_slow = self.recent(now).min().map(|started| started + Self::SLOW_AFTER);
        let next_slow = next_slow.filter(|_| !self.waiting.is_empty());
        next_due.into_iter().chain(next_slow).min()
    }

    /// The start times of the attempts that count toward the total.
    fn recent(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let started = self.in_flight.values().map(|(_, started)| *started);
        started.filter(move |started| now < *started + Self::SLOW_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    struct Fixture {
        queue: Queue,
        start: Instant,
    }

    impl Fixture {
        fn new(total: usize, per_project: usize) -> Self {
            Self {
                queue: Queue::new(Limits { total, per_project, ..Limits::default() }),
                start: Instant::now(),
            }
        }

        fn push(&mut self, id: u64, project: &str, priority: bool) {
            self.push_due(id, project, priority, 0);
        }

        fn push_due(&mut self, id: u64, project: &str, priority: bool, ms: u64) {
            let (id, due) = (DeliveryId(id), self.at(ms));
            self.queue.push(Job { id, project_id: project.to_owned(), priority, due });
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn pop(&mut self, ms: u64) -> Option<u64> {
            let now = self.at(ms);
            self.queue.pop(now).map(|id| id.0)
        }

        fn done(&mut self, id: u64) {
            self.queue.done(DeliveryId(id));
        }
    }

    #[test]
    fn deliveries_start_by_priority_then_age() {
        let mut fixture = Fixture::new(1, 1);
        for (id, project, priority) in
            [(1, "h", false), (2, "h", false), (3, "p", true), (4, "h", false), (5, "b", true)]
        {
            fixture.push(id, project, priority);
        }
        let mut order = Vec::new();
        while let Some(id) = fixture.pop(0) {
            assert_eq!(fixture.pop(0), None, "one at a time");
            fixture.done(id);
            order.push(id);
        }
        assert_eq!(order, [3, 5, 1, 2, 4]);
    }

    #[test]
    fn no_delivery_starts_before_it_is_due() {
        let mut fixture = Fixture::new(9, 9);
        fixture.push_due(1, "p", true, 20);
        fixture.push_due(2, "h", false, 10);
        assert_eq!(fixture.pop(9), None);
        assert_eq!(fixture.queue.next(fixture.at(9)), Some(fixture.at(10)));
        assert_eq!(fixture.pop(10), Some(2));
        assert_eq!(fixture.queue.next(fixture.at(10)), Some(fixture.at(20)));
        assert_eq!(fixture.pop(20), Some(1));
        assert_eq!(fixture.queue.next(fixture.at(20)), None);
    }

    #[test]
    fn a_project_at_its_limit_does_not_delay_others() {
        let mut fixture = Fixture::new(9, 2);
        (1..=4).for_each(|id| fixture.push(id, "busy", true));
        fixture.push(5, "other", false);
        assert_eq!([fixture.pop(0), fixture.pop(0), fixture.pop(0)], [Some(1), Some(2), Some(5)]);
        assert_eq!(fixture.pop(0), None);
        fixture.done(1);
        assert_eq!([fixture.pop(0), fixture.pop(0)], [Some(3), None]);
    }

    #[test]
    fn projects_of_a_plan_take_turns() {
        let mut fixture = Fixture::new(4, 4);
        (1..=4).for_each(|id| fixture.push(id, "busy", false));
        fixture.push(5, "other", false);
        assert_eq!([fixture.pop(0), fixture.pop(0), fixture.pop(0)], [Some(1), Some(5), Some(2)]);
    }

    proptest! {
        #[test]
        fn each_delivery_starts_once_and_both_limits_hold(
            jobs in vec((0..4_usize, any::<bool>(), 0..2_000_u64), 1..60),
            answers in vec(0..1_000_u64, 60),
            total in 1..6_usize,
            per_project in 1..4_usize,
        ) {
            let projects = ["a", "b", "c", "d"];
            let mut fixture = Fixture::new(total, per_project);
            for (id, (project, priority, due)) in jobs.iter().enumerate() {
                fixture.push_due(id as u64, projects[*project], *priority, *due);
            }
            let (mut sent, mut in_flight, mut now) = (Vec::new(), BTreeMap::new(), 0);
            while sent.len() < jobs.len() {
                while let Some(id) = fixture.pop(now) {
                    prop_assert!(jobs[id as usize].2 <= now, "not before its time");
                    sent.push(id);
                    in_flight.insert(id, (now, now + answers[id as usize]));
                    let of_project = |id: &u64| jobs[*id as usize].0;
                    let own = in_flight.keys().filter(|other| of_project(other) == of_project(&id));
                    prop_assert!(own.count() <= per_project);
                    let recent = in_flight.values().filter(|(start, _)| now < start + 250);
                    prop_assert!(recent.count() <= total);
                }
                let next = fixture.queue.next(fixture.at(now)).map(|at| at - fixture.start);
                let next = next.map(|at| at.as_millis() as u64);
                let answered = in_flight.values().map(|(_, end)| *end).min();
                let later = next.into_iter().chain(answered).min();
                prop_assert!(later.is_some() || sent.len() == jobs.len(), "it never stalls");
                now = later.unwrap_or(now).max(now);
                in_flight.retain(|id, (_, end)| {
                    let left = *end > now;
                    if !left {
                        fixture.done(*id);
                    }
                    left
                });
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..jobs.len() as u64).collect::<Vec<_>>());
        }
    }

    // Even many slow projects together do not delay others.
    #[test]
    fn a_slow_attempt_does_not_count_toward_the_total() {
        let mut fixture = Fixture::new(2, 2);
        fixture.push(1, "slow", true);
        fixture.push(2, "slower", true);
        fixture.push(3, "slow", true);
        assert_eq!([fixture.pop(0), fixture.pop(0), fixture.pop(0)], [Some(1), Some(2), None]);
        fixture.push(4, "quick", false);
        let slow = fixture.queue.next(fixture.at(0)).unwrap();
        assert_eq!(slow, fixture.at(250));
        assert_eq!(
            [fixture.pop(249), fixture.pop(250), fixture.pop(250)],
            [None, Some(3), Some(4)]
        );
        fixture.push(5, "slow", true);
        fixture.done(3);
        fixture.done(4);
        assert_eq!(fixture.pop(250), Some(5));
        fixture.push(6, "slow", true);
        assert_eq!(fixture.pop(900), None, "its own bound holds");
    }
}
