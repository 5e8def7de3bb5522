use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use log::LevelFilter;
use rocket::{Config, Error, Ignite, Rocket, Route, error::ErrorKind};

/// A state of a Rocket that is ignited only to find the guards of one route.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<AtomicBool>);

impl Probe {
    /// Records that the sentinel of a `BondifyEvent` was called.
    pub(crate) fn found(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Returns `true` if a guard of `route` is a `BondifyEvent`, or has a sentinel that calls its sentinel.
// Only Rocket knows the guards of a route. It tells none but their sentinels, when a Rocket ignites: so the
// route is ignited alone, and its log, which would repeat the application's, is switched off.
pub(crate) async fn takes_event(route: &Route) -> bool {
    let (probe, level) = (Probe::default(), log::max_level());
    let refused = ignite(vec![route.clone()], Probe::default()).await.err();
    let ignited = ignite(Vec::new(), probe.clone()).await.ok();
    if let (Some(ErrorKind::SentinelAborts(sentinels)), Some(rocket)) =
        (refused.as_ref().map(Error::kind), ignited)
    {
        // A guard without a sentinel of its own, such as `Tagged<BondifyEvent>`, is the parent of those of
        // the types that it names. It need not take these.
        for guard in sentinels.iter().filter(|sentinel| sentinel.parent.is_none()) {
            let _aborts = (guard.abort)(&rocket);
        }
    }
    log::set_max_level(level);
    probe.0.load(Relaxed)
}

async fn ignite(routes: Vec<Route>, probe: Probe) -> Result<Rocket<Ignite>, Error> {
    let rocket = rocket::custom(Config::debug_default()).mount("/", routes).manage(probe);
    log::set_max_level(LevelFilter::Off);
    let config = Config { log_level: rocket::config::LogLevel::Off, ..Config::debug_default() };
    rocket.configure(config).ignite().await
}
