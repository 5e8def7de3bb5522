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
    Bondify, Event, Reply,
    adapter::{self, Delivery, misconfigured},
};

use crate::{BondifyRejection, event::KeptRequest, headers::ActixHeaders};

/// Calls the inner routes with verified events only. An event that was answered with 2xx is not
/// handled again.
///
/// A method other than `POST` is answered with actix-web's 405. To serve a page at the same
/// path, wrap one route: `web::post().to(on_event).wrap(bondify.middleware())`.
#[derive(Clone, Debug)]
pub struct BondifyMiddleware(Bondify);

impl BondifyMiddleware {
    /// Creates a middleware that receives through `bondify`.
    #[must_use]
    pub fn new(bondify: &Bondify) -> Self {
        Self(bondify.clone())
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
        ready(Ok(BondifyService { inner: Rc::new(inner), bondify: self.0.clone() }))
    }
}

/// A service behind a [`BondifyMiddleware`].
pub struct BondifyService<S> {
    inner: Rc<S>,
    bondify: Bondify,
}

impl<S> fmt::Debug for BondifyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BondifyService").field("bondify", &self.bondify).finish_non_exhaustive()
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
        let (inner, bondify) = (self.inner.clone(), self.bondify.clone());
        Box::pin(async move {
            if request.method() != Method::POST {
                let response = other_method(request.match_info());
                return Ok(request.into_response(response));
            }
            match receive(&bondify, &mut request).await {
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

/// The response to the request of a handler that panicked; an error, which becomes one further
/// outside, if the handler does not take a [`BondifyEvent`](crate::BondifyEvent).
fn respond(
    request: Option<&HttpRequest>,
    rejection: BondifyRejection,
) -> Result<ServiceResponse, Error> {
    let request = request.ok_or(rejection)?;
    Ok(ServiceResponse::new(request.clone(), rejection.error_response()))
}

/// The response to a request that is no delivery: 405, unless no part of the path is matched yet.
/// The middleware is around a whole application then, whose pages have other methods.
fn other_method(path: &Path<Url>) -> HttpResponse {
    if path.unprocessed() == path.as_str() {
        BondifyRejection(misconfigured(NOT_A_POST)).error_response()
    } else {
        HttpResponse::MethodNotAllowed().finish()
    }
}

const NOT_A_POST: &str = "the middleware got a request of another method than POST; wrap the \
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
