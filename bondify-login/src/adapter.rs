//! Parts for adapters of web frameworks. An app does not need them.
//!
//! An adapter mounts four routes at a path without a slash at its end:
//!
//! | method | path | |
//! |---|---|---|
//! | `GET`, `HEAD` | `/login` | [`page`] |
//! | `POST` | `/login` | [`begin`] |
//! | `GET`, `HEAD` | `/login/events` | [`events`] |
//! | `POST` | `/login/finish` | [`finish`], the app's handler, [`Finishing::answer`] |
//!
//! It reads forms with [`read_form`], and no body of a `GET`. URIs have the whole path, with the prefix of a
//! router. It contains no decisions. [`define_signed_in!`] defines its extractor or guard.

use std::pin::pin;

use bondify_core::{EventKey, Reply, adapter::response};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, ORIGIN, SET_COOKIE},
};
use tokio::time::timeout;
use tracing::Instrument;

pub use crate::{
    __define_signed_in as define_signed_in, body::Body, finish::Finishing, limits::MAX_FORM_BYTES,
};
use crate::{
    Login, State,
    answer::{self, Answer, page_path},
    finish::NotFinishing,
    limits::FORM_TIMEOUT,
    login::Settings,
    pending::Pending,
    return_to::is_local,
    same_origin::is_same_origin,
};

/// Reads the form of a request, whose body is still empty.
///
/// ```
/// use bondify_login::{
///     Login,
///     adapter::{self, Body},
/// };
/// use bytes::Bytes;
/// use futures_util::Stream;
/// use http::{Request, Response};
///
/// /// `POST /login`, with the body of the framework's request.
/// async fn begin<E>(
///     login: &Login,
///     request: Request<Bytes>,
///     body: impl Stream<Item = Result<Bytes, E>>,
/// ) -> Response<Body> {
///     match adapter::read_form(request, body).await {
///         Ok(request) => adapter::begin(login, &request).await,
///         Err(refused) => refused,
///     }
/// }
/// ```
///
/// # Errors
///
/// The response to send instead: 413 if the form has more than [`MAX_FORM_BYTES`], 408 if it does not arrive
/// within 10 seconds, and 400 if it breaks off.
pub async fn read_form<C, E>(
    request: Request<Bytes>,
    body: impl Stream<Item = Result<C, E>>,
) -> Result<Request<Bytes>, Response<Body>>
where
    C: Buf,
{
    let read = timeout(FORM_TIMEOUT, read_all(body)).await;
    let form = read.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT)).map_err(answer::empty)?;
    let length = request.headers().get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    // Rocket 0.5.1 ends the body where the connection broke.
    if length.is_some_and(|length| length != form.len().to_string().as_bytes()) {
        return Err(answer::empty(StatusCode::BAD_REQUEST));
    }
    Ok(request.map(|_| form))
}

async fn read_all<C: Buf, E>(body: impl Stream<Item = Result<C, E>>) -> Result<Bytes, StatusCode> {
    let (mut body, mut form) = (pin!(body), BytesMut::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        if form.len() + chunk.remaining() > MAX_FORM_BYTES {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        form.put(chunk);
    }
    Ok(form.freeze())
}

/// Builds the request without its body, for frameworks that do not use `http` 1. Invalid headers are left
/// out.
///
/// ```
/// use bondify_login::adapter;
///
/// let headers = [("accept", b"application/json".as_slice()), ("not a name", b"left out")];
/// let request = adapter::request("GET", "/login?id=1", headers);
/// assert_eq!(request.uri().path(), "/login");
/// assert_eq!(request.headers().len(), 1);
/// ```
pub fn request<'a>(
    method: &str,
    uri: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method.parse().unwrap_or_default();
    *request.uri_mut() = uri.parse().unwrap_or_default();
    *request.headers_mut() = self::headers(headers);
    request
}

/// Builds the headers, for frameworks that do not use `http` 1. Invalid headers are left out.
pub fn headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> HeaderMap {
    let headers = headers.into_iter();
    let headers = headers.filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    map
}

/// Answers with the page, or with the state as JSON.
///
/// ```
/// use bondify_login::{
///     Login,
///     adapter::{self, Body},
/// };
/// use bytes::Bytes;
/// use http::{Method, Request, Response, StatusCode};
///
/// /// The routes of a login at `/login` that read no form. A framework's router takes the place of the `match`.
/// async fn serve(login: &Login, request: &Request<Bytes>) -> Response<Body> {
///     let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
///     match request.uri().path() {
///         "/login" if is_get => adapter::page(login, request).await,
///         "/login/events" if is_get => adapter::events(login, request).await,
///         _ => {
///             let mut response = Response::new(Body::Full(Bytes::new()));
///             *response.status_mut() = StatusCode::NOT_FOUND;
///             response
///         }
///     }
/// }
/// ```
pub async fn page(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    let Login(settings) = login;
    let answer = Answer::at_page(settings, request);
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let return_to = field(query, "return_to");
    let return_to = return_to.as_deref().map(|path| settings.return_to(path));
    let mut logins = settings.logins(request, false).into_iter();
    let has_id = field(query, "id").is_some();
    // A new visit is not about a login that is finished or leads elsewhere.
    let is_asked_for = |login: &Pending| {
        has_id || !login.is_finished && return_to.is_none_or(|path| login.return_to == path)
    };
    match logins.find(is_asked_for) {
        Some(pending) => {
            let state = login.state(&pending).await;
            answer.about(&pending).show(StatusCode::OK, &state, &pending.return_to)
        }
        None => {
            let return_to = return_to.unwrap_or(&settings.return_to);
            answer.show(StatusCode::OK, &State::Start, return_to)
        }
    }
}

/// Begins a login. Answers with its cookie, and with a redirect to the page or the state as JSON.
pub async fn begin(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    let Login(settings) = login;
    let answer = Answer::at_page(settings, request);
    let return_to = field(request.body(), "return_to").unwrap_or_default();
    let return_to = settings.return_to(&return_to);
    if let Some(state) = settings.other_origin(request) {
        return answer.show(StatusCode::FORBIDDEN, &state, return_to);
    }
    let page = page_path(request.uri().path(), false);
    match settings.begin(page, return_to, request.headers()).await {
        Ok(begun) => {
            let answer = answer.about(&begun.login);
            let mut response = if answer.wants_json() {
                answer.show(StatusCode::OK, &begun.state, return_to)
            } else {
                answer.redirect(return_to)
            };
            for set_cookie in begun.set_cookies {
                response.headers_mut().append(SET_COOKIE, set_cookie);
            }
            response
        }
        Err(state) => answer.show(StatusCode::BAD_GATEWAY, &state, return_to),
    }
}

/// Answers with a stream of server-sent events, which sends the decision when the user has decided.
pub async fn events(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    match login.0.logins(request, true).into_iter().next() {
        Some(_) if request.method() == Method::HEAD => answer::events(stream::empty().boxed()),
        Some(pending) => login.wait(pending).map_or_else(answer::busy, answer::events),
        None => answer::without_login(),
    }
}

/// Claims the login, so that the app's handler can be called. Pass the handler's answer to
/// [`Finishing::answer`]. A client that hangs up must not stop that: see [`to_completion`].
///
/// ```
/// use bondify_login::{
///     Login, SignedIn,
///     adapter::{self, Body},
/// };
/// use bytes::Bytes;
/// use http::{Request, Response};
///
/// /// `POST /login/finish`, whose form has been read.
/// async fn finish(login: &Login, request: &Request<Bytes>) -> Response<Body> {
///     let finishing = match adapter::finish(login, request).await {
///         Ok(finishing) => finishing,
///         Err(refused) => return refused,
///     };
///     let handled = adapter::to_completion(async {
///         let answer = on_login(finishing.signed_in().clone()).await;
///         finishing.answer(answer).await
///     });
///     handled.await.map(Body::Full)
/// }
///
/// /// The app's handler.
/// async fn on_login(login: SignedIn) -> Response<Bytes> {
///     Response::new(format!("Welcome, {}!", login.user.name()).into())
/// }
/// ```
///
/// # Errors
///
/// The response to send instead: that of the first finish if the browser repeats it within 30 seconds; 403 if
/// the form is of another site; 400 if no login has begun in this browser, and if the proof is missing,
/// invalid, expired or of another login; 409 if the login was finished before; 503 if the dedupe store is
/// unavailable.
pub async fn finish(login: &Login, request: &Request<Bytes>) -> Result<Finishing, Response<Body>> {
    let Login(settings) = login;
    let answer = Answer::below_page(settings, request);
    if let Some(state) = settings.other_origin(request) {
        return Err(answer.show(StatusCode::FORBIDDEN, &state, &settings.return_to));
    }
    let logins = settings.logins(request, true);
    let Some(proof) = field(request.body(), "proof") else {
        let return_to = settings.leads_to(&logins);
        return Err(answer.show(StatusCode::BAD_REQUEST, &State::Start, return_to));
    };
    let finishing = login.finish(logins, &proof).await;
    finishing.map_err(|not| match not {
        NotFinishing::Answered(response) => response.map(Body::Full),
        NotFinishing::State(state, return_to) => {
            let status = match state {
                State::Used => StatusCode::CONFLICT,
                State::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            answer.show(status, &state, &return_to)
        }
    })
}

/// Runs the app's handler and [`Finishing::answer`] in a task, which a client that hangs up cannot stop. A
/// panic is answered with 500, and leaves the login unfinished.
pub async fn to_completion(
    handler: impl Future<Output = Response<Bytes>> + Send + 'static,
) -> Response<Bytes> {
    let answered = tokio::spawn(handler.in_current_span()).await;
    answered.unwrap_or_else(|_| panicked())
}

/// The answer after the app's handler has panicked.
#[must_use]
pub fn panicked() -> Response<Bytes> {
    response(Reply::HandlerPanicked)
}

/// Defines `SignedIn`, the type in which an adapter passes a [`SignedIn`](crate::SignedIn) to a handler. It is a
/// newtype, since an adapter can implement its framework's traits only for a type of its own. It derefs to the
/// value, and its field is public, so that a handler can write `SignedIn(login): SignedIn`.
///
/// ```
/// bondify_login::adapter::define_signed_in! {
///     /// The user who has signed in, extracted by this framework.
/// }
///
/// fn greeting(login: &SignedIn) -> String {
///     format!("hello {}", login.user.name())
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __define_signed_in {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct SignedIn(pub $crate::SignedIn);

        impl SignedIn {
            /// Creates a value for a test of your handler, with `/` as `return_to`. The fields of the value
            /// inside can be changed.
            #[must_use]
            pub fn new(user: $crate::TelegramUser) -> Self {
                Self($crate::SignedIn::new(user))
            }
        }

        impl ::std::ops::Deref for SignedIn {
            type Target = $crate::SignedIn;

            fn deref(&self) -> &$crate::SignedIn {
                &self.0
            }
        }
    };
}

impl Settings {
    /// The logins of this browser that have begun at the page and that the request is about, the newest
    /// first: all, or the one with the `id` in the query. The request is to the page or `below` it.
    fn logins(&self, request: &Request<Bytes>, below: bool) -> Vec<Pending> {
        let page = page_path(request.uri().path(), below);
        let id = field(request.uri().query().unwrap_or_default().as_bytes(), "id");
        let mut logins = self.sealer.open(request.headers());
        logins.retain(|login| login.page == page && id.as_ref().is_none_or(|id| login.id == *id));
        logins
    }

    /// The path if it leads to this origin, and the default otherwise.
    fn return_to<'a>(&'a self, path: &'a str) -> &'a str {
        if is_local(path) { path } else { &self.return_to }
    }

    /// The path that the newest of the logins leads to.
    pub(crate) fn leads_to<'a>(&'a self, logins: &'a [Pending]) -> &'a str {
        logins.first().map_or(&self.return_to, |login| &login.return_to)
    }

    /// The state to show for a form that was not sent by a page of this origin.
    fn other_origin(&self, request: &Request<Bytes>) -> Option<State> {
        if is_same_origin(request.headers(), &self.origin) {
            return None;
        }
        self.forms_of_others.get_or_insert_with(&EventKey::new("", ""), || {
            tracing::warn!(
                sender = ?request.headers().get(ORIGIN),
                origin = self.origin,
                "form refused: it was sent by a page of another origin; if users open the app there, set \
                 the origin of the login to it or redirect them"
            );
        });
        Some(State::OtherOrigin { origin: self.origin.clone() })
    }
}

/// Returns the value of a field of a form.
fn field(form: &[u8], name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form);
    fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}
