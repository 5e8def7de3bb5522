use axum::{
    body::Body,
    handler::Handler,
    routing::{MethodRouter, post},
};
use bondify_core::Bondify;

use crate::handler::BondifyHandler;

/// [`bondify_tower::BondifyLayer`] on axum's body type.
pub type BondifyLayer = bondify_tower::BondifyLayer<Body>;

/// Attaches a [`Bondify`] to routes of an axum router. Only `Bondify` implements it.
pub trait BondifyExt: sealed::Sealed {
    /// `post(handler)` behind the layer: the handler is called with verified events only.
    ///
    /// axum answers other methods with 405; add handlers for them as in
    /// `bondify.post(on_event).get(page)`.
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static;

    /// The layer, for a route that is built another way:
    /// `post(on_event).route_layer(bondify.layer())`. Apply it to a route once, by
    /// `route_layer`: [`MethodRouter::layer`] would wrap the 405 of other methods too.
    fn layer(&self) -> BondifyLayer;
}

impl BondifyExt for Bondify {
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        post(BondifyHandler { inner: handler, layer: self.layer() })
    }

    fn layer(&self) -> BondifyLayer {
        BondifyLayer::new(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
