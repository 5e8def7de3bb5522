use bondify_core::Projects;

use crate::BondifyMiddleware;

/// Attaches a [`Bondify`](crate::Bondify), or [`Projects`], to routes of an actix-web application. Only these
/// implement it.
///
/// ```
/// use actix_web::{HttpResponse, web};
/// use bondify_actix::{Bondify, BondifyEvent, BondifyExt};
///
/// async fn on_event(event: BondifyEvent) -> HttpResponse {
///     println!("handled {event}");
///     HttpResponse::NoContent().finish()
/// }
///
/// fn routes(config: &mut web::ServiceConfig, bondify: &Bondify) {
///     let webhook = web::resource("/webhooks/bondify").wrap(bondify.middleware());
///     config.service(webhook.route(web::post().to(on_event)));
/// }
/// ```
///
/// A client that hangs up does not cancel the handler: it continues in a task of its own on its worker.
/// A handler that blocks its worker keeps its lease, since leases are renewed on the runtime on which
/// the `Bondify` was built.
pub trait BondifyExt: sealed::Sealed {
    /// The middleware for a resource, for a scope that contains webhooks only, or for one
    /// route: `web::post().to(on_event).wrap(bondify.middleware())`.
    ///
    /// Wrap a route once. A route that has the middleware twice answers 500 `MISCONFIGURED` and logs what
    /// to change. So does a whole application behind it, to each request that is not a `POST`.
    fn middleware(&self) -> BondifyMiddleware;
}

impl<B: Clone + Into<Projects> + sealed::Sealed> BondifyExt for B {
    fn middleware(&self) -> BondifyMiddleware {
        BondifyMiddleware::new(self.clone())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
    impl Sealed for bondify_core::Projects {}
}
