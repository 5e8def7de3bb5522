//! Routes for actix-web.

use std::future::{Ready, ready};

use ::actix_web::{
    Error, FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, Responder,
    dev::Payload,
    error::InternalError,
    http::{StatusCode, header},
    web::{self, ServiceConfig},
};
use bondify_core::adapter::misconfigured;
use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::{Login, SignedIn, adapter};

/// Mounts a [`Login`] in an app. Only `Login` implements this trait.
///
/// ```
/// use actix_web::{App, HttpServer, web::Redirect};
/// use bondify_login::{Login, SignedIn, actix_web::LoginExt};
///
/// async fn serve(login: Login) -> std::io::Result<()> {
///     let app = move || App::new().configure(login.routes("/login", on_login));
///     HttpServer::new(app).bind(("127.0.0.1", 3000))?.run().await
/// }
///
/// async fn on_login(login: SignedIn) -> Redirect {
///     // Give the browser a new session of this user.
///     Redirect::to(login.return_to).see_other()
/// }
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns the routes, for [`App::configure`](::actix_web::App::configure): the page at `path`, its
    /// events and its finish. `on_login` is called once for each login, in the browser that began it.
    /// It can take [`SignedIn`] and other extractors.
    fn routes<H, Args>(&self, path: &str, on_login: H) -> impl FnOnce(&mut ServiceConfig)
    where
        H: Handler<Args, Output: Responder>,
        Args: FromRequest + 'static;
}

impl LoginExt for Login {
    fn routes<H, Args>(&self, path: &str, on_login: H) -> impl FnOnce(&mut ServiceConfig)
    where
        H: Handler<Args, Output: Responder>,
        Args: FromRequest + 'static,
    {
        let login = web::Data::new(self.clone());
        let finish = move |login: web::Data<Login>, request: HttpRequest, form: Form| {
            finish(login, on_login.clone(), request, form)
        };
        let resource = move |path: &str| web::resource(path).app_data(login.clone());
        move |config: &mut ServiceConfig| {
            let page = resource(path).get(page).post(begin);
            let events = resource(&format!("{path}/events")).get(events);
            let finish = resource(&format!("{path}/finish")).post(finish);
            config.service(page).service(events).service(finish);
        }
    }
}

async fn page(login: web::Data<Login>, Form(request): Form) -> HttpResponse {
    response(adapter::page(&login, &request).await)
}

async fn begin(login: web::Data<Login>, Form(request): Form) -> HttpResponse {
    response(adapter::begin(&login, &request).await)
}

async fn events(login: web::Data<Login>, Form(request): Form) -> HttpResponse {
    response(adapter::events(&login, &request).await)
}

async fn finish<H, Args>(
    login: web::Data<Login>,
    on_login: H,
    request: HttpRequest,
    Form(form): Form,
) -> HttpResponse
where
    H: Handler<Args, Output: Responder>,
    Args: FromRequest,
{
    let finished = match adapter::finish(&login, &form).await {
        Ok(finished) => finished,
        Err(refusal) => return response(refusal),
    };
    request.extensions_mut().insert(finished.signed_in);
    let mut response = match Args::from_request(&request, &mut Payload::None).await {
        Ok(args) => on_login.call(args).await.respond_to(&request).map_into_boxed_body(),
        Err(error) => HttpResponse::from_error(error),
    };
    if let Ok(set_cookie) = header::HeaderValue::from_bytes(finished.set_cookie.as_bytes()) {
        response.headers_mut().append(header::SET_COOKIE, set_cookie);
    }
    response
}

fn response(response: http::Response<adapter::Body>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16());
    let mut builder = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    for (name, value) in &parts.headers {
        builder.append_header((name.as_str(), value.as_bytes()));
    }
    match body {
        adapter::Body::Full(bytes) => builder.body(bytes),
        events => builder.streaming(events.into_stream()),
    }
}

/// A request whose body is a form.
struct Form(http::Request<Bytes>);

impl FromRequest for Form {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let form = adapter::read_form(payload).await.map_err(|refusal| {
                Error::from(InternalError::from_response(
                    "the form cannot be read",
                    response(refusal),
                ))
            })?;
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
            Ok(Self(adapter::request(&request.uri().to_string(), headers, form)))
        }
        .boxed_local()
    }
}

impl FromRequest for SignedIn {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed_in = request.extensions().get::<Self>().cloned();
        ready(signed_in.ok_or_else(|| {
            let advice = "use SignedIn only in the handler that `login.routes` gets";
            let answer = bondify_core::adapter::response(misconfigured(advice));
            let answer = response(answer.map(adapter::Body::Full));
            InternalError::from_response("SignedIn is not available here", answer).into()
        }))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Login {}
}
