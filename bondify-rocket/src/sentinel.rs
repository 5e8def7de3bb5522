use bondify_core::adapter::misconfigured;
use rocket::{Ignite, Rocket};

/// The managed state of a Rocket with routes that are mounted through Bondify.
pub(crate) struct Mounted;

/// Returns whether a Rocket lacks a managed `T`, and logs `advice` if so.
pub(crate) fn lacks_state<T: Send + Sync + 'static>(rocket: &Rocket<Ignite>, advice: &str) -> bool {
    let missing = rocket.state::<T>().is_none();
    if missing {
        let _logged = misconfigured(advice);
    }
    missing
}
