use std::{
    cell::OnceCell,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Path, Payload, Service, ServiceRequest, ServiceResponse, Transform, Url, forward_ready},
    http::Method,
    rt,
};
use bondify_core::{
    Bondify, Event, Reply,
    adapter::{self, Delivery, misconfigured},
};

use crate::{BondifyRejection, event::KeptRequest, headers::ActixHeaders};

/// Calls the inner routes with verified events only. An event that was answered with 2xx is not
/// handled again.
///
/// On a resource or a scope it answers a method other than `POST` with actix-web's 405. To serve a
/// page at the same path, wrap one route: `web::post().to(on_event).wrap(bondify.middleware())`.
///
/// [`BondifyExt::middleware`](crate::BondifyExt::middleware) creates one, with an example.
#[derive(Clone)]
pub struct BondifyMiddleware(Projects);

impl BondifyMiddleware {
    /// Creates a middleware that receives through `bondify`.
    #[must_use]
    pub fn new(bondify: &Bondify) -> Self {
        Self(Projects::One(bondify.clone()))
    }

    /// Creates a middleware that receives each request through the [`Bondify`] that `choose`
    /// returns. The body is not read before.
    ///
    /// For a server of several projects. `choose` takes extractors, as a handler does. It finds the
    /// project's secret, for instance in a database, and returns [`Bondify::for_project`], or an
    /// error such as [`Reply::ProjectNotFound`], which is answered with 404.
    /// [`drain`](Bondify::drain) of the one `Bondify` covers all projects that are derived from it.
    ///
    /// ```
    /// use actix_web::web::{self, Data, Path};
    /// use bondify_actix::{Bondify, BondifyEvent, BondifyMiddleware, Reply, Secret};
    ///
    /// struct Projects {
    ///     bondify: Bondify,
    /// }
    ///
    /// impl Projects {
    ///     async fn secret_of(&self, _project: &str) -> Option<Secret> {
    ///         None // from a database
    ///     }
    /// }
    ///
    /// async fn project(id: Path<String>, projects: Data<Projects>) -> Result<Bondify, Reply> {
    ///     let secret = projects.secret_of(&id).await.ok_or(Reply::ProjectNotFound)?;
    ///     Ok(projects.bondify.for_project(id.into_inner(), secret, []))
    /// }
    ///
    /// async fn on_event(event: BondifyEvent, project: Path<String>) -> String {
    ///     format!("{event} of {project}")
    /// }
    ///
    /// fn routes(config: &mut web::ServiceConfig) {
    ///     let middleware = BondifyMiddleware::for_projects(project);
    ///     let webhook = web::resource("/webhooks/{project}").wrap(middleware);
    ///     config.service(webhook.route(web::post().to(on_event)));
    /// }
    /// ```
    #[must_use]
    pub fn for_projects<H, Args>(choose: H) -> Self
    where
        H: Handler<Args, Output = Result<Bondify, Reply>> + Send + Sync,
        Args: FromRequest + 'static,
    {
        Self(Projects::Chosen(Arc::new(move |request| {
            let (choose, args) = (choose.clone(), Args::from_request(request, &mut Payload::None));
            Box::pin(async move {
                let args = args.await.map_err(Into::into)?;
                Ok(adapter::choose(choose.call(args)).await)
            })
        })))
    }
}

impl fmt::Debug for BondifyMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BondifyMiddleware").field(&self.0).finish()
    }
}

/// The projects that a middleware receives for.
#[derive(Clone)]
enum Projects {
    One(Bondify),
    Chosen(Arc<Choose>),
}

/// Chooses the project of a request, or returns the error of an extractor.
type Choose = dyn Fn(&HttpRequest) -> Pin<Box<dyn Future<Output = Result<Result<Bondify, Reply>, Error>>>>
    + Send
    + Sync;

impl Projects {
    async fn of(&self, request: &ServiceRequest) -> Result<Result<Bondify, Reply>, Error> {
        match self {
            Self::One(bondify) => Ok(Ok(bondify.clone())),
            Self::Chosen(choose) => choose(request.request()).await,
        }
    }
}

impl fmt::Debug for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(bondify) => bondify.fmt(f),
            Self::Chosen(_) => f.write_str("chosen by request"),
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for BondifyMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = BondifyService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(BondifyService { inner: Rc::new(inner), projects: self.0.clone() }))
    }
}

/// A service behind a [`BondifyMiddleware`].
pub struct BondifyService<S> {
    inner: Rc<S>,
    projects: Projects,
}

impl<S> fmt::Debug for BondifyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BondifyService").field("projects", &self.projects).finish_non_exhaustive()
    }
}

impl<S, B> Service<ServiceRequest> for BondifyService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (inner, projects) = (self.inner.clone(), self.projects.clone());
        Box::pin(async move {
            if request.method() != Method::POST {
                let response = other_method(request.match_info());
                return Ok(request.into_response(response));
            }
            let received = match projects.of(&request).await {
                Ok(Ok(bondify)) => receive(&bondify, &mut request).await,
                Ok(Err(reply)) => Err(reply),
                Err(error) => return Ok(request.error_response(error)),
            };
            match received {
                Ok(delivery) => {
                    let kept = Rc::new(OnceCell::new());
                    request.extensions_mut().insert(KeptRequest(Rc::downgrade(&kept)));
                    match handle(delivery, inner, request).await {
                        Ok(answer) => answer.map(ServiceResponse::map_into_boxed_body),
                        Err(reply) => respond(kept.get(), BondifyRejection(reply)),
                    }
                }
                Err(reply) => Ok(request.into_response(BondifyRejection(reply).error_response())),
            }
        })
    }
}

/// The response to the request of a handler that panicked. It is an error, which an outer service turns
/// into a response, if the handler does not take a [`BondifyEvent`](crate::BondifyEvent).
fn respond(
    request: Option<&HttpRequest>,
    rejection: BondifyRejection,
) -> Result<ServiceResponse, Error> {
    let request = request.ok_or(rejection)?;
    Ok(ServiceResponse::new(request.clone(), rejection.error_response()))
}

/// The response to a request that is not a delivery: 405, or `MISCONFIGURED` if no part of the path is
/// matched yet. The middleware then wraps a whole application, whose pages have other methods.
fn other_method(path: &Path<Url>) -> HttpResponse {
    if path.unprocessed() == path.as_str() {
        BondifyRejection(misconfigured(NOT_A_POST)).error_response()
    } else {
        HttpResponse::MethodNotAllowed().finish()
    }
}

const NOT_A_POST: &str = "the middleware got a request with a method other than POST; wrap the \
    webhook's resource, not the application";

async fn receive(bondify: &Bondify, request: &mut ServiceRequest) -> Result<Delivery, Reply> {
    if request.extensions().contains::<Event>() {
        return Err(misconfigured("the middleware is applied twice; wrap the route once"));
    }
    let body = request.take_payload();
    adapter::receive(bondify, &ActixHeaders(request.headers()), body).await
}

fn handle<S, B>(
    delivery: Delivery,
    inner: Rc<S>,
    mut request: ServiceRequest,
) -> impl Future<Output = Result<Result<ServiceResponse<B>, Error>, Reply>>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let handler = |event: Event| {
        request.set_payload(Payload::from(event.raw().clone()));
        request.extensions_mut().insert(event);
        inner.call(request)
    };
    let status = |answer: &Result<ServiceResponse<B>, Error>| match answer {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    // A reset of the connection does not cancel the handler.
    delivery.run_to_completion_by(|run| drop(rt::spawn(run)), handler, status)
}
