use axum::{
    body::Body,
    extract::Request,
    handler::Handler,
    response::{IntoResponse, Response},
};
use bondify_core::adapter;
use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};

/// [`bondify_tower::BondifyLayer`] on axum's body type.
pub type BondifyLayer = bondify_tower::BondifyLayer<Body>;

/// A handler behind a [`BondifyLayer`]. The layer on a route would add one more boxed service and
/// one more boxed body to each request.
#[derive(Clone)]
pub(crate) struct BondifyHandler<H> {
    pub(crate) inner: H,
    pub(crate) layer: BondifyLayer,
}

impl<H, T, S> Handler<T, S> for BondifyHandler<H>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let delivered = self.layer.deliver(self.inner.with_state(state), request);
        delivered.map_ok_or_else(adapter::response, IntoResponse::into_response).boxed()
    }
}
