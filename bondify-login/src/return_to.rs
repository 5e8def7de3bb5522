//! The check of paths that the browser goes to.

use crate::limits::MAX_RETURN_TO_BYTES;

/// Whether the path leads to this origin.
///
/// Browsers read `//host` and `/\host` as another host, and remove tabs and line ends before they parse
/// a URL.
pub(crate) fn is_local(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    path.len() <= MAX_RETURN_TO_BYTES
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_path_of_this_origin_is_kept() {
        for path in ["/", "/basket", "/a/b?c=d&e=https://f#g", "/%2f/evil.example", "/@evil"] {
            assert!(is_local(path), "{path}");
        }
    }

    #[test]
    fn any_other_path_is_refused() {
        for elsewhere in [
            "",
            "basket",
            "https://evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: a=b",
            "/\u{2028}/evil.example",
            "/ä",
            &format!("/{}", "a".repeat(MAX_RETURN_TO_BYTES)),
        ] {
            assert!(!is_local(elsewhere), "{elsewhere:?}");
        }
    }

    #[test]
    fn browsers_stay_on_the_origin() {
        let base = Url::parse("https://shop.example/login/finish").unwrap();
        for path in ["/.//evil.example", "/..//evil.example", "/@evil.example", "/;//evil.example"]
        {
            assert!(is_local(path), "{path}");
            let url = base.join(path).unwrap();
            assert_eq!(url.host_str(), Some("shop.example"), "{path}");
        }
    }
}
