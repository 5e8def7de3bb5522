//! The only reader of cookies. Cookies of other applications of the host are in the same headers, so it
//! reads bytes and decodes nothing: a cookie in another encoding changes nothing for its neighbours.

use crate::headers::Headers;

/// Calls `visit` with the name and the value of each cookie that the request carries, in order. For
/// adapters.
///
/// Names and values are bytes. They are trimmed by ASCII whitespace only: browsers let a subdomain set a
/// cookie whose name is `__Host-…` after a Unicode space. A pair of quotes around a value is removed. A part
/// without `=` is not a cookie.
///
/// ```
/// use bondify_core::adapter::visit_cookies;
/// use http::{HeaderMap, HeaderValue, header::COOKIE};
///
/// let cookies = HeaderValue::from_bytes(b"city=Z\xfcrich; session=\"1a2b\"").unwrap();
/// let mut session = None;
/// visit_cookies(&HeaderMap::from_iter([(COOKIE, cookies)]), &mut |name, value| {
///     if name == b"session" {
///         session = Some(value.to_vec());
///     }
/// });
/// assert_eq!(session.as_deref(), Some(&b"1a2b"[..]));
/// ```
pub fn visit_cookies(headers: &dyn Headers, visit: &mut dyn FnMut(&[u8], &[u8])) {
    headers.visit("cookie", &mut |line| {
        for cookie in line.split(|&byte| byte == b';') {
            let mut parts = cookie.splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                visit(name.trim_ascii(), unquote(value.trim_ascii()));
            }
        }
    });
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::COOKIE};

    use super::*;

    fn read(lines: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let lines = lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap()));
        let (headers, mut found) = (HeaderMap::from_iter(lines), Vec::new());
        visit_cookies(&headers, &mut |name, value| found.push((name.into(), value.into())));
        found
    }

    fn cookie(name: &str, value: impl AsRef<[u8]>) -> (Vec<u8>, Vec<u8>) {
        (name.into(), value.as_ref().into())
    }

    #[test]
    fn cookies_are_read_in_order_from_all_headers() {
        let read = read(&[b"a=1;b=2 ;\tc\t=\t3", b"a=\"4\"; d=e=f"]);
        let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("d", "e=f")];
        assert_eq!(read, expected.map(|(name, value)| cookie(name, value)));
    }

    #[test]
    fn cookies_in_any_encoding_leave_their_neighbours_readable() {
        for foreign in
            [&b"city=Z\xfcrich"[..], "city=Zürich".as_bytes(), b"\xff", b"=", b"", b"a=\""]
        {
            let line = [foreign, b"; ours=1; ", foreign].concat();
            assert!(read(&[&line]).contains(&cookie("ours", "1")), "{foreign:?}");
        }
        assert_eq!(read(&[b"x=%41"]), [cookie("x", "%41")], "nothing is decoded");
    }

    #[test]
    fn names_are_trimmed_by_space_and_tab_only() {
        for space in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{feff}"] {
            for lookalike in [format!("{space}__Host-a"), format!("__Host-a{space}")] {
                let read = read(&[format!("{lookalike}=1").as_bytes()]);
                assert_eq!(read, [cookie(&lookalike, "1")]);
            }
        }
    }

    #[test]
    fn only_a_pair_of_quotes_is_removed() {
        for (written, value) in [("\"\"", ""), ("\"a", "\"a"), ("\"", "\""), ("\"\"a\"\"", "\"a\"")]
        {
            assert_eq!(read(&[format!("a={written}").as_bytes()]), [cookie("a", value)]);
        }
    }
}
