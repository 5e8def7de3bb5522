use bondify_core::Bondify;
use rocket::Route;

use crate::{
    BondifyMount,
    projects::{Mounting, Projects},
};

/// Attaches a [`Bondify`] to routes of a Rocket. Only `Bondify` implements it.
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
    /// handler would be called for requests that nobody signed. A data guard of your own that takes the
    /// event implements [`Sentinel`](rocket::Sentinel) by the one of `BondifyEvent`.
    ///
    /// Rocket answers 404, not 405, to a method other than `POST`.
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount;

    /// The fairing that mounts `routes` at `base` for a server of several projects. Each request
    /// is received through the `Bondify` that `projects` chooses. A shutdown drains this `Bondify`
    /// and all that are derived from it.
    ///
    /// ```
    /// use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Projects, Reply, Secret};
    /// use rocket::{Build, Request, Rocket, post, response::status::NoContent, routes};
    ///
    /// struct App {
    ///     bondify: Bondify,
    /// }
    ///
    /// impl App {
    ///     async fn secret_of(&self, _project: &str) -> Option<Secret> {
    ///         None // from a database
    ///     }
    /// }
    ///
    /// #[rocket::async_trait]
    /// impl Projects for App {
    ///     async fn choose(&self, request: &Request<'_>) -> Result<Bondify, Reply> {
    ///         let id = request.uri().path().segments().last().ok_or(Reply::ProjectNotFound)?;
    ///         let secret = self.secret_of(id).await.ok_or(Reply::ProjectNotFound)?;
    ///         Ok(self.bondify.for_project(id, secret, []))
    ///     }
    /// }
    ///
    /// #[post("/<project>", data = "<event>")]
    /// async fn on_event(project: &str, event: BondifyEvent) -> NoContent {
    ///     println!("{event} of {project}");
    ///     NoContent
    /// }
    ///
    /// fn rocket(bondify: Bondify) -> Rocket<Build> {
    ///     let app = App { bondify: bondify.clone() };
    ///     rocket::build().attach(bondify.mount_for_projects("/webhooks", routes![on_event], app))
    /// }
    /// ```
    fn mount_for_projects(
        &self,
        base: &str,
        routes: Vec<Route>,
        projects: impl Projects,
    ) -> BondifyMount;
}

impl BondifyExt for Bondify {
    fn mount(&self, base: &str, routes: Vec<Route>) -> BondifyMount {
        BondifyMount::new(self, Mounting::One(self.clone()), base, routes)
    }

    fn mount_for_projects(
        &self,
        base: &str,
        routes: Vec<Route>,
        projects: impl Projects,
    ) -> BondifyMount {
        BondifyMount::new(self, Mounting::Chosen(Box::new(projects)), base, routes)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
