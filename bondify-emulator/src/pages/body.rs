use std::fmt::Write;

use serde::de::IgnoredAny;

/// The maximum depth that is shown with indents: each level makes every line longer.
const MAX_DEPTH: usize = 64;

/// The body as JSON with line breaks and indents, tokens unchanged; `None` if the body is not JSON or
/// is too deep.
pub(super) fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let (mut pretty, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let new_line = |pretty: &mut String, depth| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n("  ", depth));
    };
    for c in text.chars() {
        match c {
            _ if in_string => {
                in_string = escaped || c != '"';
                escaped = c == '\\' && !escaped;
                pretty.push(c);
            }
            ' ' | '\t' | '\r' | '\n' => {}
            '}' | ']' => {
                depth -= 1;
                if !pretty.ends_with(['{', '[']) {
                    new_line(&mut pretty, depth);
                }
                pretty.push(c);
            }
            _ => {
                if pretty.ends_with(['{', '[', ',']) {
                    new_line(&mut pretty, depth);
                }
                in_string = c == '"';
                depth += usize::from(matches!(c, '{' | '['));
                if depth > MAX_DEPTH {
                    return None;
                }
                pretty.push(c);
                if c == ':' {
                    pretty.push(' ');
                }
            }
        }
    }
    Some(pretty)
}

/// A hex dump of the body: offset, bytes in hexadecimal, and ASCII.
pub(super) fn hex(text: &str) -> String {
    let mut dump = String::new();
    for (row, bytes) in text.as_bytes().chunks(16).enumerate() {
        let _ = write!(dump, "{:06x} ", row * 16);
        for byte in bytes {
            let _ = write!(dump, " {byte:02x}");
        }
        let _ = write!(dump, "{:1$}  ", "", (16 - bytes.len()) * 3);
        let shown = |byte: &u8| matches!(byte, b' '..=b'~').then_some(*byte).unwrap_or(b'.');
        dump.extend(bytes.iter().map(|byte| char::from(shown(byte))));
        dump.push('\n');
    }
    dump
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_changes_white_space_only() {
        assert_eq!(
            pretty(r#"{"b":"a, {\"b\": [1]} \\","a":[1.0e5 ,{ }, []]}"#).unwrap(),
            r#"{
  "b": "a, {\"b\": [1]} \\",
  "a": [
    1.0e5,
    {},
    []
  ]
}"#
        );
        assert_eq!(pretty(r#" "{" "#).unwrap(), r#""{""#);
    }

    #[test]
    fn a_body_that_is_not_json_is_not_formatted() {
        for text in ["", "ok", "{", "]", "{} {}", &"[".repeat(100_000)] {
            assert_eq!(pretty(text), None);
        }
    }

    #[test]
    fn deep_json_is_not_formatted() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(pretty(&nested(64)).is_some());
        for depth in [65, 32 * 1024] {
            assert_eq!(pretty(&nested(depth)), None);
        }
    }

    #[test]
    fn hex_shows_every_byte() {
        assert_eq!(
            hex("0123456789abcdef\né"),
            "000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n\
             000010  0a c3 a9                                         ...\n"
        );
    }
}
