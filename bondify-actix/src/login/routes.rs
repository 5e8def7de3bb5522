use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, Responder,
    body::to_bytes,
    dev::Payload,
    error::InternalError,
    http::{StatusCode, header::HeaderMap},
    rt::spawn,
    web::{self, Bytes, ServiceConfig},
};
use bondify_core::adapter::misconfigured;
use bondify_login::{Login, adapter};

/// Mounts a [`Login`] in an app. Only `Login` implements this trait.
///
/// ```
/// use actix_web::{App, HttpServer, web::Redirect};
/// use bondify_actix::login::{Login, LoginExt, SignedIn};
///
/// async fn serve(login: Login) -> std::io::Result<()> {
///     let app = move || App::new().configure(login.routes("/login", on_login));
///     HttpServer::new(app).bind(("127.0.0.1", 3000))?.run().await
/// }
///
/// async fn on_login(SignedIn(login): SignedIn) -> Redirect {
///     // Give the browser a new session of this user.
///     Redirect::to(login.return_to).see_other()
/// }
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns the routes, for [`App::configure`](actix_web::App::configure): the page at `path`, its
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
        let finish = move |login: web::Data<Login>, request: HttpRequest, payload: web::Payload| {
            finish(login, on_login.clone(), request, payload)
        };
        let resource = move |path: &str| web::resource(path).app_data(login.clone());
        move |config: &mut ServiceConfig| {
            let page = resource(path).get(page).route(web::head().to(page)).post(begin);
            let waiting = resource(&format!("{path}/events"));
            let waiting = waiting.get(events).route(web::head().to(events));
            let finish = resource(&format!("{path}/finish")).post(finish);
            config.service(page).service(waiting).service(finish);
        }
    }
}

async fn page(login: web::Data<Login>, request: HttpRequest) -> HttpResponse {
    response(adapter::page(&login, &head_of(&request)).await)
}

async fn begin(
    login: web::Data<Login>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match adapter::read_form(head_of(&request), payload).await {
        Ok(form) => response(adapter::begin(&login, &form).await),
        Err(refusal) => response(refusal),
    }
}

async fn events(login: web::Data<Login>, request: HttpRequest) -> HttpResponse {
    response(adapter::events(&login, &head_of(&request)).await)
}

async fn finish<H, Args>(
    login: web::Data<Login>,
    on_login: H,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse
where
    H: Handler<Args, Output: Responder>,
    Args: FromRequest + 'static,
{
    let form = match adapter::read_form(head_of(&request), payload).await {
        Ok(form) => form,
        Err(refusal) => return response(refusal),
    };
    let finishing = match adapter::finish(&login, &form).await {
        Ok(finishing) => finishing,
        Err(refusal) => return response(refusal),
    };
    request.extensions_mut().insert(finishing.signed_in().clone());
    // A client that hangs up drops this function's future, but not the task.
    let answered = spawn(async move {
        let answer = match Args::from_request(&request, &mut Payload::None).await {
            Ok(args) => on_login.call(args).await.respond_to(&request).map_into_boxed_body(),
            Err(error) => HttpResponse::from_error(error),
        };
        match read(answer).await {
            Some(answer) => finishing.answer(answer).await,
            None => adapter::panicked(),
        }
    });
    let answered = answered.await.unwrap_or_else(|_| adapter::panicked());
    response(answered.map(adapter::Body::Full))
}

/// Reads the answer of the app's handler.
async fn read(answer: HttpResponse) -> Option<http::Response<Bytes>> {
    let (head, body) = answer.into_parts();
    let mut answer = http::Response::new(to_bytes(body).await.ok()?);
    *answer.status_mut() = http::StatusCode::from_u16(head.status().as_u16()).ok()?;
    *answer.headers_mut() = adapter::headers(pairs(head.headers()));
    Some(answer)
}

fn head_of(request: &HttpRequest) -> http::Request<Bytes> {
    let headers = pairs(request.headers());
    adapter::request(request.method().as_str(), &request.uri().to_string(), headers)
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
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

adapter::define_signed_in! {
    /// Extracts the user who has just finished a login in this browser.
    ///
    /// It derefs to [`bondify_login::SignedIn`]. The pattern `SignedIn(login): SignedIn` takes that by value.
    /// It is extracted in the handler of [`LoginExt::routes`] only. Another one answers 500 `MISCONFIGURED`
    /// and logs what to change.
}

impl FromRequest for SignedIn {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed_in = request.extensions().get().cloned();
        ready(signed_in.map(Self).ok_or_else(|| {
            let advice = "use SignedIn only in the handler that `login.routes` gets";
            let answer = bondify_core::adapter::response(misconfigured(advice));
            let answer = response(answer.map(adapter::Body::Full));
            InternalError::from_response("SignedIn is not available here", answer).into()
        }))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_login::Login {}
}
