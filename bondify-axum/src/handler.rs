use std::convert::Infallible;

use axum::{
    body::Body,
    extract::Request,
    handler::{Handler, HandlerService},
    response::Response,
};
use bondify_tower::{BondifyService, ResponseBody};
use futures_util::{FutureExt, future::Map};
use tower_layer::Layer;
use tower_service::Service;

use crate::BondifyLayer;

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
    type Future = Map<ServiceFuture<H, T, S>, fn(Answer) -> Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        self.layer.layer(self.inner.with_state(state)).call(request).map(respond)
    }
}

type ServiceFuture<H, T, S> =
    <BondifyService<HandlerService<H, T, S>, Body> as Service<Request>>::Future;

type Answer = Result<axum::http::Response<ResponseBody<Body>>, Infallible>;

fn respond(answer: Answer) -> Response {
    let Ok(response) = answer;
    response.map(ResponseBody::into_inner)
}
