use axum::{
    body::Body,
    handler::Handler,
    routing::{MethodRouter, post},
};
use bondify_core::Bondify;

use crate::handler::Guarded;

/// [`bondify_tower::BondifyLayer`] on axum's body type.
pub type BondifyLayer = bondify_tower::BondifyLayer<Body>;

/// Attaches a [`Bondify`] to routes of an axum router.
pub trait BondifyExt {
    /// `post(handler)` that only verified events reach.
    ///
    /// Other methods are axum's 405, and can be added: `bondify.post(on_event).get(page)`.
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static;

    /// The layer, for routes put together in other ways:
    /// `post(on_event).route_layer(bondify.layer())`. It belongs to one route, once:
    /// [`MethodRouter::layer`] would wrap the 405 of other methods too.
    fn layer(&self) -> BondifyLayer;
}

impl BondifyExt for Bondify {
    fn post<H, T, S>(&self, handler: H) -> MethodRouter<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        post(Guarded { inner: handler, layer: self.layer() })
    }

    fn layer(&self) -> BondifyLayer {
        BondifyLayer::new(self)
    }
}
