use bondify_core::Bondify;
use rocket::Route;

use crate::BondifyMount;

/// Attaches a [`Bondify`] to routes of a Rocket.
pub trait BondifyExt {
    /// The fairing that mounts `routes` at `base`, so that they can take a
    /// [`BondifyEvent`](crate::BondifyEvent):
    /// `rocket::build().attach(bondify.mount("/webhooks", routes![on_event]))`.
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount;
}

impl BondifyExt for Bondify {
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount {
        BondifyMount::new(self, base, routes)
    }
}
