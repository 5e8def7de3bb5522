use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use log::LevelFilter;
use rocket::{Config, Route};

/// A state of a Rocket that is ignited only to find the guards of one route.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<AtomicBool>);

impl Probe {
    /// Records that a guard of the route is a `BondifyEvent`, or contains one.
    pub(crate) fn found(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Returns `true` if a guard of `route` is a `BondifyEvent`, or contains one.
// Only Rocket knows the guards of a route. It tells none but their sentinels, when a Rocket ignites: so the
// route is ignited alone, and its log, which would repeat the application's, is switched off.
pub(crate) async fn takes_event(route: &Route) -> bool {
    let (probe, level) = (Probe::default(), log::max_level());
    let rocket = rocket::custom(Config::debug_default()).mount("/", vec![route.clone()]);
    log::set_max_level(LevelFilter::Off);
    let config = Config { log_level: rocket::config::LogLevel::Off, ..Config::debug_default() };
    let ignited = rocket.configure(config).manage(probe.clone()).ignite().await;
    // Sentinels of other guards abort the launch. Rocket panics if an error is dropped unread.
    let _read = ignited.map_err(|aborted| aborted.to_string());
    log::set_max_level(level);
    probe.0.load(Relaxed)
}
