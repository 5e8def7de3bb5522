//! The responses.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
        REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use url::form_urlencoded;

use crate::{State, View, body::Body, login::Settings, pending::Pending};

/// The response to a request, with a state.
pub(crate) struct Answer<'a> {
    settings: &'a Settings,
    request: &'a Request<Bytes>,
    page_url: String,
    /// The login that the response is about.
    id: Option<String>,
}

impl<'a> Answer<'a> {
    /// Answers at the page's own path. URLs are relative, so that the routes work with any prefix that a
    /// router or a proxy adds.
    pub(crate) fn at_page(settings: &'a Settings, request: &'a Request<Bytes>) -> Self {
        let page_url = page_url(request.uri().path());
        Self { settings, request, page_url, id: None }
    }

    /// Answers at a path one segment below the page's.
    pub(crate) fn below_page(settings: &'a Settings, request: &'a Request<Bytes>) -> Self {
        let page_url = format!("../{}", segment_from_end(request.uri().path(), 1));
        Self { settings, request, page_url, id: None }
    }

    pub(crate) fn about(self, login: &Pending) -> Self {
        Self { id: Some(login.id.clone()), ..self }
    }

    /// Whether the client asks for JSON. Browsers that navigate ask for HTML.
    pub(crate) fn wants_json(&self) -> bool {
        let accepted = self.request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        accepted.is_some_and(|types| types.contains("application/json"))
    }

    /// Redirects to the page of the login. Its URL keeps `return_to` for the time when the login's cookie
    /// has expired.
    pub(crate) fn redirect(&self, return_to: &str) -> Response<Body> {
        let mut response = empty(StatusCode::SEE_OTHER);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("id", self.id.as_deref().unwrap_or_default());
        if return_to != self.settings.return_to {
            query.append_pair("return_to", return_to);
        }
        if let Ok(page_url) = HeaderValue::try_from(format!("{}?{}", self.page_url, query.finish()))
        {
            response.headers_mut().insert(LOCATION, page_url);
        }
        response
    }

    pub(crate) fn show(
        &self,
        status: StatusCode,
        state: &State,
        return_to: &str,
    ) -> Response<Body> {
        let mut response = if self.wants_json() {
            let mut json = state.to_json();
            if let Some(id) = &self.id {
                json["id"] = id.as_str().into();
            }
            let headers = [(CONTENT_TYPE, "application/json"), (VARY, "accept")];
            with_headers(json.to_string(), headers)
        } else {
            self.page(state, return_to)
        };
        *response.status_mut() = status;
        response
    }

    fn page(&self, state: &State, return_to: &str) -> Response<Body> {
        let (Ok(a), Ok(b)) = (getrandom::u64(), getrandom::u64()) else {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let nonce = format!("{a:016x}{b:016x}");
        let design = &self.settings.design;
        let texts = design.texts_for(self.request, state);
        let html = (design.render)(&View {
            state,
            request: self.request,
            texts: &texts,
            app_name: &design.app_name,
            logo: design.logo.as_deref(),
            accent: design.accent.as_ref(),
            asks_for_phone: design.asks_for_phone,
            return_to,
            back_to: &design.back_to,
            nonce: &nonce,
            page_url: &self.page_url,
            id: self.id.as_deref(),
        });
        let headers =
            [(CONTENT_TYPE, "text/html; charset=utf-8"), (VARY, "accept, accept-language")];
        let mut response = with_headers(html, headers);
        let policy = design.policy.with_nonce(&nonce);
        for (name, value) in
            [(CONTENT_SECURITY_POLICY, &*policy), (CONTENT_LANGUAGE, &*texts.language)]
        {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// The path of the page, from its own path or from one that is `below` it by a segment. It names the page in
/// cookies.
pub(crate) fn page_path(path: &str, below: bool) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.rsplit_once('/') {
        Some((page, _)) if below => page,
        _ => path,
    }
}

/// The URL of the page, relative to the page at this path. Some routers serve it with a slash at
/// the end too, from where its other routes are one level up.
fn page_url(path: &str) -> String {
    match path.strip_suffix('/') {
        None | Some("") => format!("./{}", segment_from_end(path, 0)),
        Some(path) => format!("../{}", segment_from_end(path, 0)),
    }
}

/// A segment of a path, counted from the end.
fn segment_from_end(path: &str, index: usize) -> &str {
    path.rsplit('/').nth(index).unwrap_or_default()
}

/// The stream of events.
pub(crate) fn events(events: BoxStream<'static, Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Events(events));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx would buffer the events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    response.headers_mut().extend(headers.map(header));
    response
}

/// The answer if no connection may wait.
pub(crate) fn busy() -> Response<Body> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// The answer if no login has begun in the browser.
pub(crate) fn without_login() -> Response<Body> {
    empty(StatusCode::NOT_FOUND)
}

pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = with_headers(String::new(), []);
    *response.status_mut() = status;
    response
}

/// A response with a complete body. The referrer policy hides URLs from other sites. `no-referrer` would
/// make browsers send forms with `Origin: null`.
fn with_headers<const N: usize>(
    body: String,
    headers: [(HeaderName, &'static str); N],
) -> Response<Body> {
    let mut response = Response::new(Body::Full(body.into()));
    let always = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    response.headers_mut().extend(always.map(header));
    response.headers_mut().extend(headers.map(header));
    response
}

fn header((name, value): (HeaderName, &'static str)) -> (HeaderName, HeaderValue) {
    (name, HeaderValue::from_static(value))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn the_pages_url_is_relative_to_the_page() {
        for (path, relative, absolute) in [
            ("/login", "./login", "/login"),
            ("/login/", "../login", "/login"),
            ("/shop/login", "./login", "/shop/login"),
            ("/shop/login/", "../login", "/shop/login"),
            ("/", "./", "/"),
        ] {
            assert_eq!(page_url(path), relative);
            let page = Url::parse("https://shop.example").unwrap().join(path).unwrap();
            assert_eq!(page.join(relative).unwrap().path(), absolute);
        }
    }

    #[test]
    fn all_routes_of_a_page_have_the_same_page_path() {
        for page in ["/login", "/shop/login", ""] {
            for path in [page.to_owned(), format!("{page}/")] {
                assert_eq!(page_path(&path, false), page);
            }
            for path in ["events", "finish"] {
                assert_eq!(page_path(&format!("{page}/{path}"), true), page);
            }
        }
    }
}
