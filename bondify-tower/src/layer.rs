use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    mem,
    task::{Context, Poll},
};

use bondify_core::{
    Event, Projects, Reply,
    adapter::{self, Head},
};
use bytes::Bytes;
use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyDataStream, Full};
use tower_layer::Layer;
use tower_service::Service;

/// Calls the inner service with verified events only. An event that was answered with 2xx is not
/// handled again.
///
/// The inner service takes the event by [`BondifyEvent::from_extensions`], and the request's body,
/// of type `B`, holds the bytes that were signed. An error of the service counts as a failure. The body of
/// its response has to be `From<Bytes>`, such as `Full<Bytes>`, for the layer's own responses. A layer
/// that changes the type of the body, such as compression, goes around this one.
///
/// The layer answers 500 `MISCONFIGURED` to a request that is not a `POST`, and if it is applied twice.
///
/// ```
/// use bondify_testkit::Payload;
/// use bondify_tower::{Bondify, BondifyEvent, BondifyLayer, BondifyRejection, Secret};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceExt, layer::Layer, service_fn};
///
/// async fn on_event(
///     request: Request<Full<Bytes>>,
/// ) -> Result<Response<Full<Bytes>>, BondifyRejection> {
///     let event = BondifyEvent::from_extensions(request.extensions())?;
///     Ok(Response::new(event.name().to_owned().into()))
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let secret = Secret::new("whsec_test")?;
///     let bondify = Bondify::builder(secret.clone()).build()?;
///     let webhook = BondifyLayer::new(&bondify).layer(service_fn(on_event));
///
///     let delivery = Payload::confirmed().signed_with(&secret);
///     let response = webhook.clone().oneshot(delivery.to_http("/", Full::new)).await?;
///     assert_eq!(response.status(), 200);
///
///     let forged = delivery.tampered();
///     let response = webhook.oneshot(forged.to_http("/", Full::new)).await?;
///     assert_eq!(response.status(), 401);
///     Ok(())
/// }
/// ```
///
/// [`BondifyEvent::from_extensions`]: crate::BondifyEvent::from_extensions
pub struct BondifyLayer<B = Full<Bytes>> {
    projects: Projects,
    body: PhantomData<fn(Bytes) -> B>,
}

impl<B> BondifyLayer<B> {
    /// Creates a layer that receives through a [`Bondify`](bondify_core::Bondify), or through the one that [`Projects`] choose by
    /// the request's head.
    pub fn new(bondify: impl Into<Projects>) -> Self {
        Self { projects: bondify.into(), body: PhantomData }
    }

    /// Receives a delivery and calls `inner`, which has to be ready, with its event. For adapters
    /// that turn a [`Reply`] into a response of their own.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of a response of `inner`: the errors of [`Projects::choose`] and of
    /// [`Bondify::serve`](bondify_core::Bondify::serve). An error of `inner` is the inner `Result`'s.
    pub fn deliver<S, In, Out>(
        &self,
        mut inner: S,
        request: Request<In>,
    ) -> impl Future<Output = Result<Result<Response<Out>, S::Error>, Reply>> + use<B, S, In, Out>
    where
        S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send> + 'static,
        B: From<Bytes> + 'static,
        In: Body<Error: Into<BoxError>>,
        Out: Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let (head, body) = (Head::of(&parts), BodyDataStream::new(body));
        let chosen = self.projects.choose(&parts);
        let handler = move |event: Event| {
            let body = B::from(event.raw().clone());
            parts.extensions.insert(event);
            inner.call(Request::from_parts(parts, body))
        };
        chosen.and_then(|bondify| bondify.serve(head, body, handler, status))
    }
}

impl<B> Clone for BondifyLayer<B> {
    fn clone(&self) -> Self {
        Self { projects: self.projects.clone(), body: PhantomData }
    }
}

impl<B> fmt::Debug for BondifyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BondifyLayer").field(&self.projects).finish()
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
    In: Body<Error: Into<BoxError>> + Send + 'static,
    Out: From<Bytes> + Send + 'static,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let delivered = self.layer.deliver(take_ready(&mut self.inner), request);
        delivered.unwrap_or_else(|reply| Ok(adapter::response(reply))).boxed()
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// The status that a response is settled by. The server drops the connection on an error of the
/// service, so that is a failure too.
fn status<Out, E>(answer: &Result<Response<Out>, E>) -> u16 {
    answer.as_ref().map_or(500, |response| response.status().as_u16())
}

/// Takes the service that was polled ready, which is the one to call, and leaves a clone.
pub(crate) fn take_ready<S: Clone>(service: &mut S) -> S {
    let next = service.clone();
    mem::replace(service, next)
}
