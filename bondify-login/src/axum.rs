//! Routes for axum.

use ::axum::{
    Router,
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, State},
    handler::Handler,
    http::{self, header::SET_COOKIE, request::Parts},
    response::Response,
    routing::{get, post},
};
use bondify_core::adapter::{misconfigured, response};
use bytes::Bytes;

use crate::{Login, SignedIn, adapter};

/// Mounts a [`Login`] in a router. Only `Login` implements this trait.
///
/// ```
/// use axum::{Router, response::Redirect};
/// use bondify_login::{Login, SignedIn, axum::LoginExt};
///
/// fn app(login: &Login) -> Router {
///     Router::new().merge(login.routes("/login", on_login))
/// }
///
/// async fn on_login(login: SignedIn) -> Redirect {
///     // Give the browser a new session of this user.
///     Redirect::to(&login.return_to)
/// }
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns the routes: the page at `path`, its events and its finish. `on_login` is called once for
    /// each login, in the browser that began it. It can take [`SignedIn`] and other extractors.
    ///
    /// # Panics
    ///
    /// If `path` is not a valid path for [`Router::route`].
    fn routes<H, T, S>(&self, path: &str, on_login: H) -> Router<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static;
}

impl LoginExt for Login {
    fn routes<H, T, S>(&self, path: &str, on_login: H) -> Router<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let login = self.clone();
        let finish = async |State(state), form: Form| finish(login, on_login, state, form).await;
        Router::new()
            .route(path, get(page).post(begin).with_state(self.clone()))
            .route(&format!("{path}/events"), get(events).with_state(self.clone()))
            .route(&format!("{path}/finish"), post(finish))
    }
}

async fn page(State(login): State<Login>, Form(request): Form) -> Response {
    adapter::page(&login, &request).await.map(into_body)
}

async fn begin(State(login): State<Login>, Form(request): Form) -> Response {
    adapter::begin(&login, &request).await.map(into_body)
}

async fn events(State(login): State<Login>, Form(request): Form) -> Response {
    adapter::events(&login, &request).await.map(into_body)
}

async fn finish<H, T, S>(login: Login, on_login: H, state: S, Form(request): Form) -> Response
where
    H: Handler<T, S>,
{
    let finished = match adapter::finish(&login, &request).await {
        Ok(finished) => finished,
        Err(refusal) => return refusal.map(into_body),
    };
    let mut request = request.map(|_form| Body::empty());
    request.extensions_mut().insert(finished.signed_in);
    let mut response = on_login.call(request, state).await;
    response.headers_mut().append(SET_COOKIE, finished.set_cookie);
    response
}

fn into_body(body: adapter::Body) -> Body {
    match body {
        adapter::Body::Full(bytes) => bytes.into(),
        events => Body::from_stream(events.into_stream()),
    }
}

/// A request whose body is a form.
struct Form(http::Request<Bytes>);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let form = adapter::read_form(body.into_data_stream()).await;
        let form = form.map_err(|refusal| refusal.map(into_body))?;
        Ok(Self(http::Request::from_parts(parts, form)))
    }
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let signed_in = parts.extensions.get().cloned();
        signed_in.ok_or_else(|| {
            response(misconfigured("use SignedIn only in the handler that `login.routes` gets"))
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Login {}
}
