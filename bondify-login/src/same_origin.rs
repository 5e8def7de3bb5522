//! The check that a form was sent by a page of this origin.

use http::{HeaderMap, HeaderName, header::ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request was sent by a page of `origin`.
///
/// Scripts cannot set these headers. Browsers send `Origin: null` from pages without a referrer, and
/// older browsers send no `Sec-Fetch-Site`: one header has to name the same origin, and neither may
/// name another.
pub(crate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(|site| site == "same-origin");
    let sender = headers.get(ORIGIN).filter(|sender| *sender != "null");
    let sender = sender.map(|sender| sender == origin);
    site.or(sender) == Some(true) && sender.or(site) == Some(true)
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
        assert!(check(&[(SEC_FETCH_SITE, "same-origin")]));
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
        assert!(!check(&[(SEC_FETCH_SITE, "same-origin"), (ORIGIN, "https://evil.example")]));
        assert!(!check(&[]));
    }
}
