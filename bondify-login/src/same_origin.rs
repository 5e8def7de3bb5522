//! The check that a form was sent by a page of this origin.

use http::{HeaderMap, HeaderName, header::ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request was sent by a page of `origin`.
///
/// Scripts cannot set these headers. `Sec-Fetch-Site` comes first, because browsers send `Origin: null`
/// from pages without a referrer. A request without both is refused.
pub(crate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get(SEC_FETCH_SITE) {
        Some(site) => site == "same-origin",
        None => headers.get(ORIGIN).is_some_and(|sender| sender == origin),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(headers: &[(HeaderName, &str)]) -> bool {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::try_from(value).unwrap()));
        is_same_origin(&headers.collect(), "https://shop.example")
    }

    #[test]
    fn a_form_of_this_origin_is_accepted() {
        assert!(check(&[(SEC_FETCH_SITE, "same-origin"), (ORIGIN, "https://shop.example")]));
        assert!(check(&[(SEC_FETCH_SITE, "same-origin"), (ORIGIN, "null")]));
        assert!(check(&[(ORIGIN, "https://shop.example")]));
    }

    #[test]
    fn forms_of_other_origins_are_refused() {
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!check(&[(SEC_FETCH_SITE, site), (ORIGIN, "https://shop.example")]), "{site}");
        }
        for origin in [
            "null",
            "",
            "http://shop.example",
            "https://shop.example.evil.example",
            "https://evil.example",
            "https://shop.example:8443",
            "https://SHOP.example",
        ] {
            assert!(!check(&[(ORIGIN, origin)]), "{origin}");
        }
        assert!(!check(&[]));
    }
}
