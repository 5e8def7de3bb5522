use bondify_core::Projects;
use rocket::Route;

use crate::BondifyMount;

/// Attaches a [`Bondify`](crate::Bondify), or [`Projects`], to routes of a Rocket. Only these implement it.
///
/// ```
/// use bondify_rocket::{Bondify, BondifyEvent, BondifyExt};
/// use rocket::{Build, Rocket, post, response::status::NoContent, routes};
///
/// #[post("/bondify", data = "<event>")]
/// async fn on_event(event: BondifyEvent) -> NoContent {
///     println!("handled {event}");
///     NoContent
/// }
///
/// fn rocket(bondify: &Bondify) -> Rocket<Build> {
///     rocket::build().attach(bondify.mount("/webhooks", routes![on_event]))
/// }
/// ```
pub trait BondifyExt: sealed::Sealed {
    /// The fairing that mounts `routes` at `base`, so that they can take a
    /// [`BondifyEvent`](crate::BondifyEvent). `.attach(bondify.mount(base, routes))` replaces
    /// `.mount(base, routes)`.
    ///
    /// The launch is refused, with an error that names the route, if a route takes no `BondifyEvent`: its
    /// handler would be called for requests that nobody signed. Rocket does not tell what the guards of a
    /// route do, so a data guard of your own is refused too, even if it takes the event. Take a `BondifyEvent`, or an
    /// `Option` or a `Result` of it, and convert it in the handler.
    ///
    /// Rocket answers 404, not 405, to a method other than `POST`.
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount;
}

impl<B: Clone + Into<Projects> + sealed::Sealed> BondifyExt for B {
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount {
        BondifyMount::new(self.clone().into(), base, routes)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
    impl Sealed for bondify_core::Projects {}
}
