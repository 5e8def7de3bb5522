use axum::{
    body::Body,
    extract::Request,
    handler::{Handler, HandlerService},
    response::{IntoResponse, Response},
};
use bondify_core::{Reply, adapter};
use bondify_tower::Deliver;
use futures_util::{FutureExt, future::Map};
use std::convert::Infallible;

use crate::BondifyLayer;

/// A handler that only verified events reach. The same as the layer on its route, which would
/// be one more service and one more boxed body for each request.
#[derive(Clone)]
pub(crate) struct Guarded<H> {
    pub(crate) inner: H,
    pub(crate) layer: BondifyLayer,
}

impl<H, T, S> Handler<T, S> for Guarded<H>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    type Future = Map<Deliver<HandlerService<H, T, S>, Body, Body>, fn(Handled) -> Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        self.layer.deliver(self.inner.with_state(state), request).map(respond)
    }
}

type Handled = Result<Result<Response, Infallible>, Reply>;

fn respond(handled: Handled) -> Response {
    match handled {
        Ok(answer) => answer.into_response(),
        Err(reply) => adapter::response(reply),
    }
}
