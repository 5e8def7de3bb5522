use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::Method,
    rt,
};
use bondify_core::{
    Bondify, Event, Reply,
    adapter::{self, Delivery, misconfigured},
};

use crate::{Rejection, headers::ActixHeaders};

/// Lets only verified events reach the routes within, each until it succeeds once.
///
/// Deliveries are posted, so other methods are answered as actix-web answers them where
/// there is no route: a page at the same path needs a resource of its own, or the
/// middleware on the one route, `web::post().to(on_event).wrap(bondify.middleware())`.
#[derive(Clone, Debug)]
pub struct BondifyMiddleware(Bondify);

impl BondifyMiddleware {
    /// A middleware that receives through `bondify`.
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
                return Ok(request.into_response(HttpResponse::MethodNotAllowed().finish()));
            }
            match receive(&bondify, &mut request).await {
                Ok(delivery) => match handle(delivery, inner, request).await {
                    Ok(answer) => answer.map(ServiceResponse::map_into_boxed_body),
                    // The request went along with the handler.
                    Err(reply) => Err(Rejection(reply).into()),
                },
                Err(reply) => Ok(request.into_response(Rejection(reply).error_response())),
            }
        })
    }
}

async fn receive(bondify: &Bondify, request: &mut ServiceRequest) -> Result<Delivery, Reply> {
    if request.extensions().contains::<Event>() {
        return Err(misconfigured("it is applied twice; wrap the route in one middleware"));
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
    // A client that resets the connection cannot stop it.
    delivery.run_to_completion_by(|run| drop(rt::spawn(run)), handler, status)
}
