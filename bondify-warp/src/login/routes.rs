use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use bondify_login::{Login, SignedIn, adapter};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use warp::{
    Buf, Filter, Rejection,
    filters::path::FullPath,
    http::{HeaderMap, Method, Request},
    reply::{self, Reply, Response},
};

/// Creates the filters of a [`Login`]. Only `Login` implements this trait.
///
/// ```
/// use bondify_warp::login::{Login, LoginExt, SignedIn};
/// use warp::{Filter, Rejection, reply::{self, Reply}};
///
/// fn app(login: &Login) -> impl Filter<Extract: Reply, Error = Rejection> + Clone + use<> {
///     warp::path("login").and(login.routes(on_login))
/// }
///
/// async fn on_login(login: SignedIn) -> impl Reply {
///     // Give the browser a new session of this user.
///     let see_other = warp::http::StatusCode::SEE_OTHER;
///     reply::with_header(reply::with_status("", see_other), "location", login.return_to)
/// }
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns the filter of the page, its events and its finish. Put the filter of their path before
    /// it: `warp::path("login").and(login.routes(on_login))`. `on_login` is called once for each
    /// login, in the browser that began it.
    fn routes<H, F, R>(
        &self,
        on_login: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<Self, H, F, R>
    where
        H: Fn(SignedIn) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        let nothing = warp::any().and_then(async || Ok::<_, Rejection>(()));
        self.routes_with(nothing, move |login, ()| on_login(login))
    }

    /// The same for a handler that also takes the value of another filter, such as a header or a database.
    /// `with` is applied to the finish only, and must not take the body.
    ///
    /// ```
    /// use bondify_warp::login::{Login, LoginExt, SignedIn};
    /// use warp::{Filter, Rejection, Reply, reply};
    ///
    /// fn app(login: &Login) -> impl Filter<Extract: Reply, Error = Rejection> + Clone + use<> {
    ///     let browser = warp::header::header("user-agent");
    ///     warp::path("login").and(login.routes_with(browser, on_login))
    /// }
    ///
    /// async fn on_login(login: SignedIn, browser: String) -> impl Reply {
    ///     format!("{} in {browser}", login.user.id())
    /// }
    /// ```
    fn routes_with<W, T, H, F, R>(
        &self,
        with: W,
        on_login: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection>
    + Clone
    + Send
    + Sync
    + use<Self, W, T, H, F, R>
    where
        W: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static,
        T: Send + 'static,
        H: Fn(SignedIn, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static;
}

impl LoginExt for Login {
    fn routes_with<W, T, H, F, R>(
        &self,
        with: W,
        on_login: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<W, T, H, F, R>
    where
        W: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static,
        T: Send + 'static,
        H: Fn(SignedIn, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        let at_page = warp::path::end;
        let below = |segment: &'static str| warp::path(segment).and(warp::path::end());
        let get_or_head = || warp::get().or(warp::head()).unify();
        let page = at_page().and(get_or_head()).and(head(self)).then(page);
        let begin = at_page().and(warp::post()).and(form(self)).then(begin);
        let events = below("events").and(get_or_head()).and(head(self)).then(events);
        let finish = below("finish").and(warp::post()).and(with).and(form(self)).then(
            move |value: T, form| {
                let on_login = on_login.clone();
                finish(form, move |login| on_login(login, value))
            },
        );
        page.or(begin).unify().or(events).unify().or(finish).unify()
    }
}

/// A request with its form, or the response to send instead.
type Form = Result<(Login, Request<Bytes>), Response>;

async fn page((login, request): (Login, Request<Bytes>)) -> Response {
    response(adapter::page(&login, &request).await)
}

async fn begin(form: Form) -> Response {
    match form {
        Ok((login, request)) => response(adapter::begin(&login, &request).await),
        Err(refusal) => refusal,
    }
}

async fn events((login, request): (Login, Request<Bytes>)) -> Response {
    response(adapter::events(&login, &request).await)
}

async fn finish<F>(form: Form, on_login: impl FnOnce(SignedIn) -> F) -> Response
where
    F: Future<Output: Reply> + Send + 'static,
{
    let (login, request) = match form {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let finishing = match adapter::finish(&login, &request).await {
        Ok(finishing) => finishing,
        Err(refusal) => return response(refusal),
    };
    let handler = on_login(finishing.signed_in().clone());
    let answered = adapter::to_completion(async {
        let (head, body) = handler.await.into_response().into_parts();
        match body.collect().await {
            Ok(body) => {
                finishing.answer(warp::http::Response::from_parts(head, body.to_bytes())).await
            }
            Err(_) => adapter::panicked(),
        }
    });
    answered.await.map(Into::into)
}

fn response(response: warp::http::Response<adapter::Body>) -> Response {
    let (parts, body) = response.into_parts();
    let mut response = match body {
        adapter::Body::Full(bytes) => Response::new(bytes.into()),
        events => reply::stream(synced(events.into_stream())).into_response(),
    };
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

/// Makes the stream `Sync`, which warp requires.
fn synced<T>(
    events: impl Stream<Item = T> + Send + 'static,
) -> impl Stream<Item = T> + Send + Sync {
    let mut events = Mutex::new(events.boxed());
    stream::poll_fn(move |context| {
        events.get_mut().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    })
}

/// Passes the request on without its body.
fn head(
    login: &Login,
) -> impl Filter<Extract = ((Login, Request<Bytes>),), Error = Infallible> + Clone + Send + Sync + use<>
{
    let login = login.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned()).map(
        move |method: Method, path: FullPath, query: String, headers: HeaderMap| {
            let uri = format!("{}?{query}", path.as_str());
            let mut request = adapter::request(method.as_str(), &uri, []);
            *request.headers_mut() = headers;
            (login.clone(), request)
        },
    )
}

fn form(
    login: &Login,
) -> impl Filter<Extract = (Form,), Error = Rejection> + Clone + Send + Sync + use<> {
    head(login).and(warp::body::stream()).then(read)
}

async fn read(
    (login, request): (Login, Request<Bytes>),
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Form {
    let request = adapter::read_form(request, body).await.map_err(response)?;
    Ok((login, request))
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_login::Login {}
}
