/// Looks up a request's headers by name.
///
/// It is implemented for `http` 1. Adapters of frameworks with other header types
/// implement it for a newtype.
///
/// ```
/// use bondify_core::adapter::Headers;
/// use http::{HeaderMap, HeaderValue};
///
/// let headers = HeaderMap::from_iter([("accept".parse()?, HeaderValue::from_static("text/html"))]);
/// headers.visit("accept", &mut |value| assert_eq!(value, b"text/html"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the headers of a request",
    label = "not the headers of a request",
    note = "for a request of `http` 1, pass its `HeaderMap`: `request.headers()`",
    note = "for a framework with other types, implement `Headers` for a newtype of its headers"
)]
pub trait Headers {
    /// Calls `visit` with each value of the header called `name`, which is in lower
    /// case. Names compare case-insensitively.
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8]));
}

impl Headers for http::HeaderMap {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.get_all(name).iter().for_each(|value| visit(value.as_bytes()));
    }
}

impl Headers for http::request::Parts {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.headers.visit(name, visit);
    }
}
