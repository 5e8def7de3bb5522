use http::header::{CONTENT_TYPE, HeaderName};

use crate::SIGNATURE_HEADER;

/// A request's headers, looked up by name.
///
/// Implemented for `http` 1; adapters of frameworks with header types of their own
/// implement it on a newtype.
pub trait Headers {
    /// Calls `visit` with each value of the header called `name`, which is in lower
    /// case. Names compare case-insensitively.
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8]));
}

impl Headers for http::HeaderMap {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        // Known as names, these two need not be parsed for every request.
        const SIGNATURE: HeaderName = HeaderName::from_static(SIGNATURE_HEADER);
        let values = match name {
            SIGNATURE_HEADER => self.get_all(SIGNATURE),
            "content-type" => self.get_all(CONTENT_TYPE),
            _ => self.get_all(name),
        };
        values.iter().for_each(|value| visit(value.as_bytes()));
    }
}
