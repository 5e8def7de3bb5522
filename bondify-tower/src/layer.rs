use std::{
    fmt,
    marker::PhantomData,
    mem,
    task::{Context, Poll},
};

use bondify_core::Bondify;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Deliver, ResponseBody, ResponseFuture};

/// Lets only verified events reach the service within, each until it succeeds once.
///
/// The service finds the [`Event`](bondify_core::Event) in the request's extensions, and in the request's
/// body, of type `B`, the bytes that were signed. See the [crate docs](crate) for an
/// example.
pub struct BondifyLayer<B = Full<Bytes>> {
    bondify: Bondify,
    body: PhantomData<fn(Bytes) -> B>,
}

impl<B> BondifyLayer<B> {
    /// A layer that receives through `bondify`.
    #[must_use]
    pub fn new(bondify: &Bondify) -> Self {
        Self { bondify: bondify.clone(), body: PhantomData }
    }

    /// What the layer's services do with a request, for adapters that answer with a
    /// [`Reply`](bondify_core::Reply) in a form of their own. `inner` has to be ready.
    pub fn deliver<S, In>(&self, inner: S, request: Request<In>) -> Deliver<S, B, In>
    where
        S: Service<Request<B>>,
        In: Body,
    {
        Deliver::new(&self.bondify, inner, request)
    }
}

impl<B> Clone for BondifyLayer<B> {
    fn clone(&self) -> Self {
        Self::new(&self.bondify)
    }
}

impl<B> fmt::Debug for BondifyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BondifyLayer").field("bondify", &self.bondify).finish()
    }
}

impl<S, B> Layer<S> for BondifyLayer<B> {
    type Service = BondifyService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        BondifyService { inner, layer: self.clone() }
    }
}

/// A service behind a [`BondifyLayer`].
#[derive(Debug)]
pub struct BondifyService<S, B = Full<Bytes>> {
    inner: S,
    layer: BondifyLayer<B>,
}

impl<S: Clone, B> Clone for BondifyService<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, B, In, Out> Service<Request<In>> for BondifyService<S, B>
where
    S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send>
        + Clone
        + Send
        + 'static,
    B: From<Bytes> + 'static,
    In: Body,
    Out: Send + 'static,
{
    type Response = Response<ResponseBody<Out>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, In>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // The one that was polled ready is the one to call.
        let next = self.inner.clone();
        let inner = mem::replace(&mut self.inner, next);
        ResponseFuture::new(self.layer.deliver(inner, request))
    }
}
