use std::{
    cell::OnceCell,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Path, Payload, Service, ServiceRequest, ServiceResponse, Transform, Url, forward_ready},
    http::Method,
    rt,
};
use bondify_core::{
    Event, Projects, Reply,
    adapter::{Claim, Head},
};

use crate::{BondifyRejection, event::KeptRequest, head::ActixHead};

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
    /// Creates a middleware that receives through a [`Bondify`](crate::Bondify), or through the one that
    /// [`Projects`] choose by the request's head.
    #[must_use]
    pub fn new(bondify: impl Into<Projects>) -> Self {
        Self(bondify.into())
    }
}

impl fmt::Debug for BondifyMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BondifyMiddleware").field(&self.0).finish()
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
            if request.method() != Method::POST && has_matched(request.match_info()) {
                return Ok(request.into_response(HttpResponse::MethodNotAllowed().finish()));
            }
            let (event, claim) = match receive(&projects, &mut request).await {
                Ok(received) => received,
                Err(reply) => {
                    let response = BondifyRejection(reply).error_response();
                    return Ok(request.into_response(response));
                }
            };
            let kept = Rc::new(OnceCell::new());
            request.extensions_mut().insert(KeptRequest(Rc::downgrade(&kept)));
            let handler = move || {
                request.set_payload(Payload::from(event.raw().clone()));
                request.extensions_mut().insert(event);
                inner.call(request)
            };
            // A reset of the connection does not cancel the handler.
            match claim.run_local(|rest| drop(rt::spawn(rest)), handler, status).await {
                Ok(answer) => answer.map(ServiceResponse::map_into_boxed_body),
                Err(reply) => respond(kept.get(), BondifyRejection(reply)),
            }
        })
    }
}

async fn receive(
    projects: &Projects,
    request: &mut ServiceRequest,
) -> Result<(Event, Claim), Reply> {
    let bondify = projects.choose(&ActixHead(request.request())).await?;
    let head = Head::of(&ActixHead(request.request()));
    bondify.claim(head, request.take_payload()).await
}

/// The status that a claim is settled by.
fn status<B>(answer: &Result<ServiceResponse<B>, Error>) -> u16 {
    match answer {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
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

/// Returns `true` if a part of the path is matched: the middleware wraps a resource or a scope, which answers
/// other methods with 405, and not a whole application.
fn has_matched(path: &Path<Url>) -> bool {
    path.unprocessed() != path.as_str()
}
