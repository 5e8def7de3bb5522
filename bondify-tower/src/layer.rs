use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bondify_core::{
    Bondify, Event, Reply,
    adapter::{self, misconfigured},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use http_body_util::{BodyDataStream, Full};
use tower_layer::Layer;
use tower_service::Service;

use crate::ResponseBody;

/// Calls the inner service with verified events only. An event that was answered with 2xx is not
/// handled again.
///
/// The inner service takes the event by [`BondifyEvent::from_extensions`], and the request's body,
/// of type `B`, holds the bytes that were signed. An error of the service counts as a failure.
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
    /// Creates a layer that receives through `bondify`.
    #[must_use]
    pub fn new(bondify: &Bondify) -> Self {
        Self { projects: Projects::One(bondify.clone()), body: PhantomData }
    }

    /// Creates a layer that receives each request through the `Bondify` that `choose` returns, by
    /// the request's head, such as its path. The body is not read before.
    ///
    /// For a server of several projects: `choose` finds the project's secret, for instance in a
    /// database, and returns [`Bondify::for_project`], or an error such as
    /// [`Reply::ProjectNotFound`], which is answered with 404. [`drain`](Bondify::drain) of the one
    /// `Bondify` covers all projects that are derived from it.
    ///
    /// ```
    /// use bondify_tower::{Bondify, BondifyLayer, Reply, Secret};
    ///
    /// async fn secret_of(_project: &str) -> Option<Secret> {
    ///     None // from a database
    /// }
    ///
    /// fn layer<B>(bondify: Bondify) -> BondifyLayer<B> {
    ///     BondifyLayer::for_projects(move |head: http::request::Parts| {
    ///         let bondify = bondify.clone();
    ///         async move {
    ///             let project = head.uri.path().rsplit('/').next().unwrap_or_default();
    ///             let secret = secret_of(project).await.ok_or(Reply::ProjectNotFound)?;
    ///             Ok(bondify.for_project(project, secret, []))
    ///         }
    ///     })
    /// }
    /// ```
    pub fn for_projects<C, F>(choose: C) -> Self
    where
        C: Fn(Parts) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bondify, Reply>> + Send + 'static,
    {
        let choose = move |head: &Parts| choose(head.clone()).boxed();
        Self { projects: Projects::Chosen(Arc::new(choose)), body: PhantomData }
    }

    /// Receives a delivery and calls `inner`, which has to be ready, with its event. For adapters
    /// that turn a [`Reply`] into a response of their own.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of a response of `inner`: [`Reply::Misconfigured`] if the request is
    /// not a `POST` or came through the layer before, the errors of [`adapter::receive`], and
    /// [`Reply::HandlerPanicked`]. An error of `inner` is the inner `Result`'s.
    pub async fn deliver<S, In, Out>(
        &self,
        mut inner: S,
        request: Request<In>,
    ) -> Result<Result<Response<Out>, S::Error>, Reply>
    where
        S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send> + 'static,
        B: From<Bytes> + 'static,
        In: Body<Error: Into<BoxError>>,
        Out: Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return Err(misconfigured(NOT_A_POST));
        }
        if parts.extensions.get::<Event>().is_some() {
            return Err(misconfigured("the layer is applied twice; apply it to the route once"));
        }
        let chosen;
        let bondify = match &self.projects {
            Projects::One(bondify) => bondify,
            Projects::Chosen(choose) => {
                chosen = adapter::choose(choose(&parts)).await?;
                &chosen
            }
        };
        let body = BodyDataStream::new(body);
        let delivery = adapter::receive(bondify, &parts.headers, body).await?;
        let handler = move |event: Event| {
            let body = B::from(event.raw().clone());
            parts.extensions.insert(event);
            inner.call(Request::from_parts(parts, body))
        };
        delivery.run_to_completion(handler, status).await
    }
}

impl<B> Clone for BondifyLayer<B> {
    fn clone(&self) -> Self {
        Self { projects: self.projects.clone(), body: PhantomData }
    }
}

impl<B> fmt::Debug for BondifyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BondifyLayer");
        match &self.projects {
            Projects::One(bondify) => shown.field("bondify", bondify).finish(),
            Projects::Chosen(_) => shown.finish_non_exhaustive(),
        }
    }
}

/// The projects that a layer receives for.
#[derive(Clone)]
enum Projects {
    One(Bondify),
    Chosen(Arc<Choose>),
}

type Choose = dyn Fn(&Parts) -> BoxFuture<'static, Result<Bondify, Reply>> + Send + Sync;

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
    Out: Send + 'static,
{
    type Response = Response<ResponseBody<Out>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let (inner, layer) = (take_ready(&mut self.inner), self.layer.clone());
        Box::pin(async move {
            match layer.deliver(inner, request).await {
                Ok(response) => response.map(|response| response.map(ResponseBody::inner)),
                Err(reply) => Ok(adapter::response(reply).map(ResponseBody::reply)),
            }
        })
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

const NOT_A_POST: &str = "the layer got a request with a method other than POST; apply it to the \
    webhook's route for POST only, not to a whole router";

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
