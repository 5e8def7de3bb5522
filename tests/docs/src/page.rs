use std::cell::RefCell;

use pulldown_cmark::{BrokenLink, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::slug;

/// A Markdown page, parsed as GitHub parses it.
#[derive(Default)]
pub(crate) struct Page {
    /// The destinations of links and images.
    pub(crate) links: Vec<Located>,
    /// The text of brackets that look like a link and have no destination.
    pub(crate) brackets: Vec<Located>,
    /// HTML with a link or an image.
    pub(crate) html_links: Vec<Located>,
    /// Lines in Rust code that rustdoc does not show.
    pub(crate) hidden_lines: Vec<Located>,
    /// The first line of Rust code that rustdoc does not compile.
    pub(crate) ignored_code: Vec<Located>,
    /// All Rust code.
    pub(crate) rust: String,
    headings: Vec<String>,
}

/// A piece of a page, with the number of its line.
pub(crate) struct Located {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The words after ``` that rustdoc takes for a Rust block's attributes.
const ATTRIBUTES: [&str; 7] = [
    "compile_fail",
    "custom",
    "no_run",
    "rust",
    "should_panic",
    "standalone_crate",
    "test_harness",
];

impl Page {
    pub(crate) fn parse(markdown: &str) -> Self {
        let at = |offset: usize, text: &str| Located {
            line: markdown[..offset].matches('\n').count() + 1,
            text: text.to_owned(),
        };
        let brackets = RefCell::new(Vec::new());
        let without_destination = |link: BrokenLink<'_>| {
            brackets.borrow_mut().push(at(link.span.start, &link.reference));
            None
        };
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM;
        let parser =
            Parser::new_with_broken_link_callback(markdown, options, Some(without_destination));

        let mut page = Self::default();
        let (mut in_heading, mut in_rust) = (false, false);
        for (event, span) in parser.into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(at(span.start, &dest_url));
                }
                Event::Html(html) | Event::InlineHtml(html)
                    if html.contains("href=") || html.contains("src=") =>
                {
                    page.html_links.push(at(span.start, html.trim()));
                }
                Event::Start(Tag::Heading { .. }) => {
                    page.headings.push(String::new());
                    in_heading = true;
                }
                Event::End(TagEnd::Heading(_)) => in_heading = false,
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    in_rust = is_rust(&info);
                    if in_rust && words(&info).any(|word| word.starts_with("ignore")) {
                        page.ignored_code.push(at(span.start, &info));
                    }
                }
                Event::End(TagEnd::CodeBlock) => in_rust = false,
                Event::Text(code) if in_rust => {
                    page.rust.push_str(&code);
                    let mut offset = span.start;
                    for line in code.split_inclusive('\n') {
                        if is_hidden(line) {
                            page.hidden_lines.push(at(offset, line.trim()));
                        }
                        offset += line.len();
                    }
                }
                Event::Text(text) | Event::Code(text) if in_heading => {
                    page.headings.last_mut().expect("inside a heading").push_str(&text);
                }
                _ => {}
            }
        }
        page.brackets = brackets.into_inner();
        page
    }

    pub(crate) fn has_anchor_on_github(&self, anchor: &str) -> bool {
        slug::on_github(&self.headings).iter().any(|slug| slug == anchor)
    }

    pub(crate) fn has_anchor_in_rustdoc(&self, anchor: &str) -> bool {
        slug::in_rustdoc(&self.headings).iter().any(|slug| slug == anchor)
    }
}

fn words(info: &str) -> impl Iterator<Item = &str> {
    info.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// Whether rustdoc takes a code block for Rust.
fn is_rust(info: &str) -> bool {
    let is_attribute = |word: &str| {
        ATTRIBUTES.contains(&word) || word.starts_with("edition") || word.starts_with("ignore")
    };
    words(info).any(|word| word == "rust") || words(info).all(is_attribute)
}

/// Whether rustdoc hides a line of Rust.
fn is_hidden(line: &str) -> bool {
    let line = line.trim();
    line == "#" || line.starts_with("# ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(located: &[Located]) -> Vec<usize> {
        located.iter().map(|located| located.line).collect()
    }

    #[test]
    fn hidden_lines_of_rust_are_found() {
        let page =
            Page::parse("text\n\n```rust,no_run\n# use a::b;\nlet a = 1;\n  #\n#[test]\n```\n");
        assert_eq!(lines(&page.hidden_lines), [4, 6]);
    }

    #[test]
    fn a_block_without_a_language_is_rust() {
        assert_eq!(lines(&Page::parse("```\n# hidden\n```\n").hidden_lines), [2]);
    }

    #[test]
    fn comments_of_other_languages_are_not_hidden_lines() {
        assert!(Page::parse("```sh\n# a comment\n```\n").hidden_lines.is_empty());
        assert!(Page::parse("```toml,no_run\n# a comment\n```\n").hidden_lines.is_empty());
    }

    #[test]
    fn ignored_code_is_found() {
        assert_eq!(lines(&Page::parse("```ignore\nfn main() {}\n```\n").ignored_code), [1]);
    }

    #[test]
    fn brackets_without_a_destination_are_found() {
        let page = Page::parse("a [`Builder`]\nand [text][label]\n");
        assert_eq!(lines(&page.brackets), [1, 2]);
    }

    #[test]
    fn brackets_in_code_and_lists_of_tasks_are_no_links() {
        assert!(
            Page::parse("`[a]`\n\n```rust\nlet a = [b];\n```\n\n- [ ] task\n").brackets.is_empty()
        );
    }

    #[test]
    fn links_images_and_references_are_found() {
        let page = Page::parse("[a](b)\n![c](d)\n[e]\n<https://f>\n\n[e]: g\n");
        let texts: Vec<_> = page.links.iter().map(|link| &*link.text).collect();
        assert_eq!(texts, ["b", "d", "g", "https://f"]);
        assert_eq!(lines(&page.links), [1, 2, 3, 4]);
    }

    #[test]
    fn links_in_html_are_found() {
        let page = Page::parse("text <a href=\"b\">b</a>\n\n<img src=\"c\">\n");
        assert_eq!(lines(&page.html_links), [1, 3]);
    }

    #[test]
    fn an_anchor_is_a_headings_text_with_its_code() {
        let page = Page::parse("# A `b` *c*\n");
        assert!(page.has_anchor_on_github("a-b-c"));
        assert!(page.has_anchor_in_rustdoc("a-b-c"));
        assert!(!page.has_anchor_on_github("a"));
    }
}
