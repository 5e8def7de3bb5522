use axum::{
    handler::Handler,
    routing::{MethodRouter, post},
};
use bondify_core::Projects;

use crate::handler::{BondifyHandler, BondifyLayer};

/// Attaches a [`Bondify`](crate::Bondify), or [`Projects`], to routes of an axum router. Only these implement it.
///
/// ```
/// use axum::{Router, http::StatusCode, routing::any};
/// use bondify_axum::{Bondify, BondifyEvent, BondifyExt};
///
/// async fn on_event(event: BondifyEvent) -> StatusCode {
///     println!("handled {event}");
///     StatusCode::NO_CONTENT
/// }
///
/// fn router(bondify: &Bondify) -> Router {
///     Router::new()
///         .route("/webhooks/bondify", bondify.post(on_event))
///         .route("/health", any(StatusCode::OK))
/// }
/// ```
///
/// A client that hangs up and a time-out around the route do not cancel the handler: it continues in a
/// task of its own, in the request's `tracing` span, but without its task-locals.
/// [`drain`](crate::Bondify::drain) waits for it.
///
/// Attach Bondify to a route once. A route that has it twice answers 500 `MISCONFIGURED` and logs what to
/// change. A `RequestBodyLimitLayer` around the route applies before Bondify's own limit, and Bondify
/// answers 413 when it is exceeded.
pub trait BondifyExt: sealed::Sealed {
    /// Routes `POST` to `handler`, which is called with verified events only.
    ///
    /// axum answers other methods with 405. Add handlers for them as in
    /// `bondify.post(on_event).get(page)`.
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static;

    /// The layer for a route that is built in another way:
    /// `post(on_event).route_layer(bondify.layer())`.
    ///
    /// Apply it by `route_layer`. [`MethodRouter::layer`] would wrap the 405 of other methods too. Around
    /// a whole router it answers 500 `MISCONFIGURED` to each request that is not a `POST`.
    fn layer(&self) -> BondifyLayer;
}

impl<B: Clone + Into<Projects> + sealed::Sealed> BondifyExt for B {
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        post(BondifyHandler { inner: handler, layer: self.layer() })
    }

    fn layer(&self) -> BondifyLayer {
        BondifyLayer::new(self.clone())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
    impl Sealed for bondify_core::Projects {}
}
