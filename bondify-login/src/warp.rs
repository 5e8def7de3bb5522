//! Routes for warp.

use std::sync::{Mutex, PoisonError};

use ::warp::{
    Buf, Filter, Rejection,
    filters::path::FullPath,
    http::{HeaderMap, Request, header::SET_COOKIE},
    reply::{self, Reply, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::{Login, SignedIn, adapter};

/// Creates the filters of a [`Login`]. Only `Login` implements this trait.
///
/// ```
/// use bondify_login::{Login, SignedIn, warp::LoginExt};
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
        R: Reply + 'static;
}

impl LoginExt for Login {
    fn routes<H, F, R>(
        &self,
        on_login: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<H, F, R>
    where
        H: Fn(SignedIn) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        let at_end = ::warp::path::end;
        let below = |segment: &'static str| ::warp::path(segment).and(::warp::path::end());
        let page = at_end().and(::warp::get()).and(self.form()).then(page);
        let begin = at_end().and(::warp::post()).and(self.form()).then(begin);
        let events = below("events").and(::warp::get()).and(self.form()).then(events);
        let finish = below("finish")
            .and(::warp::post())
            .and(self.form())
            .then(move |form| finish(form, on_login.clone()));
        page.or(begin).unify().or(events).unify().or(finish).unify()
    }
}

/// A request whose body is a form, or the response to send instead.
type Form = Result<(Login, Request<Bytes>), Response>;

async fn page(form: Form) -> Response {
    match form {
        Ok((login, request)) => response(adapter::page(&login, &request).await),
        Err(refusal) => refusal,
    }
}

async fn begin(form: Form) -> Response {
    match form {
        Ok((login, request)) => response(adapter::begin(&login, &request).await),
        Err(refusal) => refusal,
    }
}

async fn events(form: Form) -> Response {
    match form {
        Ok((login, request)) => response(adapter::events(&login, &request).await),
        Err(refusal) => refusal,
    }
}

async fn finish<F>(form: Form, on_login: impl Fn(SignedIn) -> F) -> Response
where
    F: Future<Output: Reply>,
{
    let (login, request) = match form {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    match adapter::finish(&login, &request).await {
        Ok(finished) => {
            let mut response = on_login(finished.signed_in).await.into_response();
            response.headers_mut().append(SET_COOKIE, finished.set_cookie);
            response
        }
        Err(refusal) => response(refusal),
    }
}

fn response(response: ::warp::http::Response<adapter::Body>) -> Response {
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

impl Login {
    fn form(
        &self,
    ) -> impl Filter<Extract = (Form,), Error = Rejection> + Clone + Send + Sync + use<> {
        let login = self.clone();
        let query = ::warp::query::raw().or(::warp::any().map(String::new)).unify();
        let read = move |path: FullPath, query: String, headers, body| {
            read(login.clone(), format!("{}?{query}", path.as_str()), headers, body)
        };
        ::warp::path::full()
            .and(query)
            .and(::warp::header::headers_cloned())
            .and(::warp::body::stream())
            .then(read)
    }
}

async fn read(
    login: Login,
    uri: String,
    headers: HeaderMap,
    body: impl Stream<Item = Result<impl Buf, ::warp::Error>>,
) -> Form {
    let form = adapter::read_form(body).await.map_err(response)?;
    let mut request = adapter::request(&uri, [], form);
    *request.headers_mut() = headers;
    Ok((login, request))
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Login {}
}
