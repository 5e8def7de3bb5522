//! The pipeline in random worlds, on a simulated clock.
//!
//! A world has a store that fails, hangs, panics, answers late and is silent for longer than a lease, two
//! receivers that share it, and a sender that delivers events as Bondify does, some of them twice, and hangs
//! up at times. In every world these hold:
//!
//! - While the store keeps a lease, no two handlers of its event run at once.
//! - Once a handler has succeeded, no other handler of its event starts, with two exceptions: the store did
//!   not complete the event within a minute of tries, or another delivery took its lease over between two
//!   tries.
//! - Nothing is stuck: when the store works again, every event can be handled or is a
//!   duplicate, and `drain` has nothing to wait for.
//! - Every answer is in time, and an answer that is not 2xx does not wait for the store.
//!
//! A world is generated from a seed. The test runs worlds for a second. `BONDIFY_SIMULATION_SECONDS`
//! sets another time, and `BONDIFY_SIMULATION_SEED` runs the one world with that seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;
mod judge;
mod store;
mod world;

use std::{
    env,
    io::{Write, stderr},
    panic,
    time::{Duration, Instant},
};

use self::world::World;

/// The payload of every panic that belongs to a world.
#[derive(Debug)]
struct Simulated;

#[test]
fn every_world_keeps_the_guarantees() {
    silence_simulated_panics();
    if let Some(seed) = setting("BONDIFY_SIMULATION_SEED") {
        return assert_keeps(World::new(seed));
    }
    let seconds = setting("BONDIFY_SIMULATION_SECONDS").unwrap_or(1);
    let (start, first) = (Instant::now(), fastrand::u32(..));
    let (mut worlds, mut deliveries) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let world = World::new(u64::from(first) + worlds);
        deliveries += world.deliveries();
        assert_keeps(world);
        worlds += 1;
    }
    let took = start.elapsed();
    let _nobody_listens =
        writeln!(stderr(), "simulated {worlds} worlds, {deliveries} deliveries in {took:.1?}");
}

fn assert_keeps(world: World) {
    let seed = world.seed;
    let run = panic::catch_unwind(|| world.run());
    let violations = run.unwrap_or_else(|_| vec!["a panic reached a receiver".to_owned()]);
    assert!(violations.is_empty(), "BONDIFY_SIMULATION_SEED={seed}:\n{}", violations.join("\n"));
}

fn setting(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|value| value.parse().expect("the setting is a number"))
}

fn silence_simulated_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<Simulated>() {
            report(panic);
        }
    }));
}
