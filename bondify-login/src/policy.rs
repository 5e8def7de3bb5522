//! The content security policy of the page.

use std::collections::BTreeMap;

/// The directives that an app may add sources to. None of these lets a page run scripts, send forms
/// elsewhere or be framed.
const OPEN: [&str; 6] =
    ["connect-src", "font-src", "img-src", "manifest-src", "media-src", "style-src"];

/// The policy, but for its nonce.
#[derive(Clone)]
pub(crate) struct Policy(BTreeMap<String, String>);

impl Policy {
    pub(crate) fn new() -> Self {
        let directives = [
            ("base-uri", "'none'"),
            ("connect-src", "'self'"),
            ("default-src", "'none'"),
            ("form-action", "'self'"),
            ("frame-ancestors", "'none'"),
            ("img-src", "'self' data:"),
            ("script-src", ""),
            ("style-src", ""),
        ];
        Self(directives.map(|(name, sources)| (name.to_owned(), sources.to_owned())).into())
    }

    /// Adds the sources of these directives. `None` if one of them may not be added to, or is no
    /// directive with sources.
    pub(crate) fn add(&mut self, directives: &str) -> Option<()> {
        for directive in directives.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            let (name, sources) = directive.split_once(' ')?;
            let name = name.to_ascii_lowercase();
            let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic() && byte != b',';
            if !OPEN.contains(&&*name)
                || sources.contains("'none'")
                || !sources.bytes().all(is_plain)
            {
                return None;
            }
            let all = self.0.entry(name).or_default();
            all.push(' ');
            all.push_str(sources.trim());
        }
        Some(())
    }

    /// The value of the header.
    pub(crate) fn with_nonce(&self, nonce: &str) -> String {
        let directives = self.0.iter().map(|(name, sources)| match &**name {
            "script-src" | "style-src" => format!("{name} 'nonce-{nonce}'{sources}"),
            _ => format!("{name} {}", sources.trim_start()),
        });
        directives.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_added() {
        let mut policy = Policy::new();
        policy.add("font-src 'self' https://fonts.example; IMG-SRC https://cdn.example;").unwrap();
        policy.add("style-src https://fonts.example").unwrap();
        assert_eq!(
            policy.with_nonce("abc"),
            "base-uri 'none'; connect-src 'self'; default-src 'none'; font-src 'self' https://fonts.example; \
             form-action 'self'; frame-ancestors 'none'; img-src 'self' data: https://cdn.example; \
             script-src 'nonce-abc'; style-src 'nonce-abc' https://fonts.example"
        );
    }

    #[test]
    fn no_other_part_of_the_policy_can_be_changed() {
        for directives in [
            "script-src https://evil.example",
            "frame-ancestors *",
            "form-action *",
            "base-uri *",
            "default-src *",
            "object-src *",
            "font-src",
            "font-src 'none'",
            "font-src 'self', script-src *",
            "font-src 'self'\r\nset-cookie: a=b",
            "font-src 'self'; script-src *",
            "font-src\t*",
            "fönt-src *",
            "img-src ä",
        ] {
            assert_eq!(Policy::new().add(directives), None, "{directives}");
        }
    }
}
