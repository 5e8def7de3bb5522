//! Parts for adapters of web frameworks. An app does not need them.
//!
//! An adapter mounts four routes at a path without a slash at its end:
//!
//! | method | path | |
//! |---|---|---|
//! | `GET` | `/login` | [`page`] |
//! | `POST` | `/login` | [`begin`] |
//! | `GET` | `/login/events` | [`events`] |
//! | `POST` | `/login/finish` | [`finish`], then the app's handler |
//!
//! It reads the form with [`read_form`] and contains no decisions.

use std::{convert::Infallible, fmt, pin::pin};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::SET_COOKIE};

pub use crate::limits::MAX_FORM_BYTES;
use crate::{
    Login, SignedIn, State,
    answer::{self, Answer},
    return_to::sanitize,
    same_origin::is_same_origin,
};

/// The body of a response.
#[expect(clippy::exhaustive_enums, reason = "an adapter has to send every kind")]
pub enum Body {
    /// The whole body.
    Full(Bytes),
    /// Server-sent events. Send each at once.
    Events(BoxStream<'static, Bytes>),
}

impl Body {
    /// Returns the body as a stream, for frameworks that take one.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        match self {
            Self::Full(bytes) => stream::iter([bytes]).boxed(),
            Self::Events(events) => events,
        }
        .map(Ok)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// Reads a form.
///
/// # Errors
///
/// The response to send instead: 413 if the form has more than [`MAX_FORM_BYTES`], and 400 if the body
/// cannot be read.
pub async fn read_form<C, E>(
    body: impl Stream<Item = Result<C, E>>,
) -> Result<Bytes, Response<Body>>
where
    C: Buf,
{
    let (mut body, mut form) = (pin!(body), BytesMut::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| answer::empty(StatusCode::BAD_REQUEST))?;
        if form.len() + chunk.remaining() > MAX_FORM_BYTES {
            return Err(answer::empty(StatusCode::PAYLOAD_TOO_LARGE));
        }
        form.put(chunk);
    }
    Ok(form.freeze())
}

/// Builds the request, for frameworks that do not use `http` 1. Invalid headers are left out.
pub fn request<'a>(
    uri: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    form: Bytes,
) -> Request<Bytes> {
    let mut request = Request::new(form);
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let headers = headers.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    for (name, value) in headers {
        request.headers_mut().append(name, value);
    }
    request
}

/// The result of [`finish`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The user, for the app's handler.
    pub signed_in: SignedIn,
    /// The value of `Set-Cookie` that removes the login cookie, for the handler's response.
    pub set_cookie: HeaderValue,
}

/// Answers with the page, or with the state as JSON.
pub async fn page(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    let Login(settings) = login;
    let answer = Answer::at_page(settings, request);
    match settings.sealer.open(request.headers()) {
        Some(pending) => {
            let state = settings.state(&pending).await;
            answer.show(StatusCode::OK, &state, &pending.return_to)
        }
        None => {
            let query = request.uri().query().unwrap_or_default();
            let return_to = field(query.as_bytes(), "return_to").unwrap_or_default();
            answer.show(StatusCode::OK, &State::Start, sanitize(&return_to))
        }
    }
}

/// Begins a login. Answers with its cookie, and with a redirect to the page or the state as JSON.
pub async fn begin(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    let Login(settings) = login;
    let answer = Answer::at_page(settings, request);
    let return_to = field(request.body(), "return_to").unwrap_or_default();
    let return_to = sanitize(&return_to);
    if !is_same_origin(request.headers(), &settings.origin) {
        return answer.show(StatusCode::FORBIDDEN, &State::Start, return_to);
    }
    match settings.begin(return_to).await {
        Ok(begun) => {
            let mut response = if answer.wants_json() {
                answer.show(StatusCode::OK, &begun.state, return_to)
            } else {
                answer.redirect()
            };
            response.headers_mut().insert(SET_COOKIE, begun.set_cookie);
            response
        }
        Err(state) => answer.show(StatusCode::BAD_GATEWAY, &state, return_to),
    }
}

/// Answers with a stream of server-sent events, which sends the decision when the user has decided.
pub async fn events(login: &Login, request: &Request<Bytes>) -> Response<Body> {
    match login.0.sealer.open(request.headers()) {
        Some(pending) => login.wait(pending).map_or_else(answer::busy, answer::events),
        None => answer::without_login(),
    }
}

/// Finishes the login, so that the app's handler can be called.
///
/// # Errors
///
/// The response to send instead: 403 if the form is of another site; 400 if no login has begun in this
/// browser, and if the proof is missing, invalid, expired or of another login; 409 if the login was
/// finished before; 503 if the dedupe store is unavailable.
pub async fn finish(login: &Login, request: &Request<Bytes>) -> Result<Finished, Response<Body>> {
    let Login(settings) = login;
    let answer = Answer::below_page(settings, request);
    if !is_same_origin(request.headers(), &settings.origin) {
        return Err(answer.show(StatusCode::FORBIDDEN, &State::Start, "/"));
    }
    let pending = settings.sealer.open(request.headers());
    let (Some(pending), Some(proof)) = (pending, field(request.body(), "proof")) else {
        return Err(answer.show(StatusCode::BAD_REQUEST, &State::Start, "/"));
    };
    let finished = settings.finish(&pending, &proof).await;
    let return_to = pending.return_to;
    match finished {
        Ok(user) => {
            let signed_in = SignedIn { user, return_to };
            Ok(Finished { signed_in, set_cookie: settings.sealer.removal() })
        }
        Err(state) => {
            let status = match state {
                State::Used => StatusCode::CONFLICT,
                State::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            Err(answer.show(status, &state, &return_to))
        }
    }
}

/// Returns the value of a field of a form.
fn field(form: &[u8], name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form);
    fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}
