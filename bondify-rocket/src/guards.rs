use std::any::TypeId;

use log::LevelFilter;
use rocket::{Config, Route, error::ErrorKind};

use crate::{BondifyEvent, BondifyRejection};

/// Returns `true` if a guard of `route` is a `BondifyEvent`, an `Option` or a `Result` of it.
// Only Rocket knows the guards of a route. It tells none but those whose sentinels abort a launch, as the one
// of `BondifyEvent` does without a mount: so the route is ignited alone, and its log, which would repeat the
// application's, is switched off.
pub(crate) async fn takes_event(route: &Route) -> bool {
    let level = log::max_level();
    let rocket = rocket::custom(Config::debug_default()).mount("/", [route.clone()]);
    log::set_max_level(LevelFilter::Off);
    let config = Config { log_level: rocket::config::LogLevel::Off, ..Config::debug_default() };
    let ignited = rocket.configure(config).ignite().await;
    log::set_max_level(level);
    let Err(error) = ignited else { return false };
    let ErrorKind::SentinelAborts(guards) = error.kind() else { return false };
    let with_event = [
        TypeId::of::<BondifyEvent>(),
        TypeId::of::<Option<BondifyEvent>>(),
        TypeId::of::<Result<BondifyEvent, BondifyRejection>>(),
    ];
    // A guard that only names the type, such as `Tagged<BondifyEvent>`, is the parent of the one found.
    guards.iter().any(|guard| guard.parent.is_none() && with_event.contains(&guard.type_id))
}
