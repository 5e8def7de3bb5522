use bondify_core::Bondify;
use rocket::Route;

use crate::BondifyMount;

/// Attaches a [`Bondify`] to routes of a Rocket. Only `Bondify` implements it.
pub trait BondifyExt: sealed::Sealed {
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

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
