use std::{fmt, time::Duration};

use test_engines::Stop;

use crate::{LEASE, RECEIVERS, Ticket};

/// The deliveries and disturbances of a run, derived from the seed.
pub(crate) struct Plan {
    seed: u64,
    pub(crate) lease: Duration,
    /// The receivers' route for deliveries.
    pub(crate) path: &'static str,
    pub(crate) tickets: Vec<Ticket>,
    /// In the order of delivery.
    pub(crate) deliveries: Vec<Delivery>,
    /// Each with the number of finished deliveries that it comes after.
    pub(crate) disturbances: Vec<(usize, Disturbance)>,
}

/// An event that is delivered so many times at once.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) event: usize,
    pub(crate) copies: u32,
}

pub(crate) enum Disturbance {
    /// Of one receiver.
    Crash(usize),
    /// Of the store.
    Restart(Stop),
}

/// The largest number of deliveries between an event and its duplicate.
const LATEST: usize = 1000;

/// The number of deliveries per disturbance.
const STRETCH: usize = 400;

impl Plan {
    pub(crate) fn new(seed: u64, events: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let tickets = (0..events).map(|event| Ticket { event, pause: pause(&mut random) });
        let tickets = tickets.collect();
        let deliveries = deliveries(events, &mut random);
        let total = deliveries.iter().map(|delivery| delivery.copies as usize).sum();
        let disturbances = disturbances(total, &mut random);
        Self { seed, lease: LEASE, path: "/", tickets, deliveries, disturbances }
    }

    /// Deliveries by a queue, which retries a job until it is acknowledged.
    pub(crate) fn of_a_queue(seed: u64) -> Self {
        Self { path: "/queue", ..Self::new(seed, 1500) }
    }

    /// All handlers outlast their lease, and end before Bondify's time-out.
    pub(crate) fn of_long_handlers(seed: u64) -> Self {
        let lease = LEASE;
        let mut random = fastrand::Rng::with_seed(seed);
        let events = 60;
        let tickets = (0..events).map(|event| Ticket { event, pause: lease * 2 / 3 }).collect();
        let deliveries = deliveries(events, &mut random);
        let crash = |progress| (progress, Disturbance::Crash(random.usize(..RECEIVERS)));
        let disturbances = [6, 24, 42].map(crash).into();
        Self { seed, lease, path: "/", tickets, deliveries, disturbances }
    }
}

/// A fifth of the handlers pause.
fn pause(random: &mut fastrand::Rng) -> Duration {
    let pauses = random.u8(..5) == 0;
    Duration::from_millis(if pauses { random.u64(10..=50) } else { 0 })
}

/// Each event, and 30 % of them twice: a quarter of those at once, the others later.
fn deliveries(events: usize, random: &mut fastrand::Rng) -> Vec<Delivery> {
    let mut numbers: Vec<_> = (0..events).collect();
    random.shuffle(&mut numbers);
    let (twice, once) = numbers.split_at(events * 30 / 100);
    let (at_once, later) = twice.split_at(twice.len() / 4);

    let mut ordered: Vec<(usize, Delivery)> = Vec::new();
    ordered.extend(at_once.iter().map(|&event| (event, Delivery { event, copies: 2 })));
    for &event in once.iter().chain(later) {
        ordered.push((event, Delivery { event, copies: 1 }));
    }
    for &event in later {
        ordered.push((event + random.usize(1..=LATEST), Delivery { event, copies: 1 }));
    }
    ordered.sort_by_key(|&(position, _)| position);
    ordered.into_iter().map(|(_, delivery)| delivery).collect()
}

/// A crash at a random point of each stretch of [`STRETCH`] deliveries; in the stretches after a
/// third and two thirds, a restart of the store instead. No crash follows a restart closely: while
/// the store is unavailable, an answer may be sent before its completion is stored.
fn disturbances(deliveries: usize, random: &mut fastrand::Rng) -> Vec<(usize, Disturbance)> {
    let stretches = deliveries / STRETCH;
    let mut disturb = |stretch: usize| {
        let start = stretch * STRETCH;
        if stretch == stretches / 3 {
            (start, Disturbance::Restart(Stop::Clean))
        } else if stretch == stretches * 2 / 3 {
            (start, Disturbance::Restart(Stop::Crash))
        } else {
            let within = random.usize(STRETCH / 3..STRETCH);
            (start + within, Disturbance::Crash(random.usize(..RECEIVERS)))
        }
    };
    (0..stretches).map(&mut disturb).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, lease, tickets, deliveries, disturbances, .. } = self;
        let deliveries: u32 = deliveries.iter().map(|delivery| delivery.copies).sum();
        let is_crash =
            |disturbance: &&(usize, Disturbance)| matches!(disturbance.1, Disturbance::Crash(_));
        let crashes = disturbances.iter().filter(is_crash).count();
        write!(
            f,
            "BONDIFY_CRASH_SEED={seed}: leases of {lease:?}, {} events, {deliveries} deliveries, {crashes} crashes, {} \
             restarts of the store",
            tickets.len(),
            disturbances.len() - crashes
        )
    }
}
