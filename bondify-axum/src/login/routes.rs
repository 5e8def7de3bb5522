use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, OriginalUri, Request, State},
    handler::Handler,
    http::{self, request::Parts},
    response::Response,
    routing::{get, post},
};
use bondify_core::adapter::{misconfigured, response};
use bondify_login::{Login, adapter};

/// Mounts a [`Login`] in a router. Only `Login` implements this trait.
///
/// ```
/// use axum::{Router, response::Redirect};
/// use bondify_axum::login::{Login, LoginExt, SignedIn};
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
        let finish = async |State(state), request| finish(login, on_login, state, request).await;
        Router::new()
            .route(path, get(page).post(begin).with_state(self.clone()))
            .route(&format!("{path}/events"), get(events).with_state(self.clone()))
            .route(&format!("{path}/finish"), post(finish))
    }
}

async fn page(State(login): State<Login>, request: Request) -> Response {
    let (request, _) = split(request);
    adapter::page(&login, &request).await.map(into_body)
}

async fn begin(State(login): State<Login>, request: Request) -> Response {
    match with_form(request).await {
        Ok(request) => adapter::begin(&login, &request).await.map(into_body),
        Err(refusal) => refusal,
    }
}

async fn events(State(login): State<Login>, request: Request) -> Response {
    let (request, _) = split(request);
    adapter::events(&login, &request).await.map(into_body)
}

async fn finish<H, T, S>(login: Login, on_login: H, state: S, request: Request) -> Response
where
    H: Handler<T, S>,
    S: Send + 'static,
{
    let request = match with_form(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let finishing = match adapter::finish(&login, &request).await {
        Ok(finishing) => finishing,
        Err(refusal) => return refusal.map(into_body),
    };
    let mut request = request.map(|_form| Body::empty());
    request.extensions_mut().insert(finishing.signed_in().clone());
    let answered = adapter::to_completion(async {
        let (head, body) = on_login.call(request, state).await.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(body) => finishing.answer(Response::from_parts(head, body)).await,
            Err(_) => adapter::panicked(),
        }
    });
    answered.await.map(Body::from)
}

/// The request without its body, and with the path that the client sent, which routers shorten.
fn split(request: Request) -> (http::Request<Bytes>, Body) {
    let (mut head, body) = request.into_parts();
    if let Some(OriginalUri(uri)) = head.extensions.get() {
        head.uri = uri.clone();
    }
    (http::Request::from_parts(head, Bytes::new()), body)
}

async fn with_form(request: Request) -> Result<http::Request<Bytes>, Response> {
    let (request, body) = split(request);
    let read = adapter::read_form(request, body.into_data_stream()).await;
    read.map_err(|refusal| refusal.map(into_body))
}

fn into_body(body: adapter::Body) -> Body {
    match body {
        adapter::Body::Full(bytes) => bytes.into(),
        events => Body::from_stream(events.into_stream()),
    }
}

adapter::define_signed_in! {
    /// Extracts the user who has just finished a login in this browser.
    ///
    /// It derefs to [`bondify_login::SignedIn`]. The pattern `SignedIn(login): SignedIn` takes that by value.
    /// It is extracted in the handler of [`LoginExt::routes`] only. Another one answers 500 `MISCONFIGURED`
    /// and logs what to change.
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let signed_in = parts.extensions.get().cloned();
        signed_in.map(Self).ok_or_else(|| {
            response(misconfigured("use SignedIn only in the handler that `login.routes` gets"))
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_login::Login {}
}
