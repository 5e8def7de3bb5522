//! Messages that pages quote: in quotation marks, as code in a sentence, in the column "message" of a
//! table, and as the output of a command. Each must be in the source.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::page::Located;

/// The messages of other programs.
const FOREIGN: [&str; 10] = [
    "linker `cc` not found",          // rustc
    "Address already in use",         // the operating system
    "Connection refused (os error",   // the operating system
    "unsupported startup parameter:", // PgBouncer
    "error returned from database:",  // sqlx
    "waiting for Telegram",           // a page of the reader
    "No Content",                     // a status of HTTP
    "the trait bound",                // rustc
    "is not satisfied",               // rustc
    "Back to Shop",                   // a page with the name of the reader's app
];

/// Quoted fixed texts: the parts of messages between their values.
pub(crate) fn fixed_texts(markdown: &str) -> Vec<Located> {
    let mut quotes = Quotes { markdown, texts: Vec::new() };
    let mut block = Block::default();
    let (mut column, mut has_messages, mut in_head, mut in_console) = (0, false, false, false);
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    for (event, span) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::TableHead) => (in_head, column) = (true, 0),
            Event::Start(Tag::TableRow) => (in_head, column) = (false, 0),
            Event::Start(Tag::Paragraph | Tag::Item | Tag::TableCell) => {
                block = Block { start: span.start, ..Block::default() };
            }
            Event::End(TagEnd::TableCell) => {
                if in_head && column == 0 {
                    has_messages = block.text == "message";
                } else if has_messages && column == 0 {
                    quotes.add(&block.text, 2, block.start);
                }
                quotes.add_block(&block);
                column += 1;
            }
            Event::End(TagEnd::Paragraph | TagEnd::Item) => {
                quotes.add_block(&block);
                block = Block::default();
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                in_console = &*info == "console";
            }
            Event::End(TagEnd::CodeBlock) => in_console = false,
            Event::Text(output) if in_console => {
                let mut start = span.start;
                for line in output.split_inclusive('\n') {
                    if !line.starts_with('$') {
                        quotes.add(line, 3, start);
                    }
                    start += line.len();
                }
            }
            Event::Text(text) => block.text.push_str(&text),
            Event::Code(code) => {
                if ["log has ", "log says "].iter().any(|end| block.text.ends_with(end))
                    || is_sentence(&code)
                {
                    quotes.add(&code, 2, span.start);
                }
                block.text.extend(["`", &code, "`"]);
            }
            Event::SoftBreak => block.text.push(' '),
            _ => {}
        }
    }
    quotes.texts
}

/// Text without a block inside it.
#[derive(Default)]
struct Block {
    start: usize,
    text: String,
}

struct Quotes<'a> {
    markdown: &'a str,
    texts: Vec<Located>,
}

impl Quotes<'_> {
    fn add_block(&mut self, block: &Block) {
        let mut parts = block.text.split('"');
        parts.next();
        while let (Some(quoted), Some(_)) = (parts.next(), parts.next()) {
            self.add(quoted, 3, block.start);
        }
    }

    /// Adds the fixed texts of at least so many words. A word with a digit, an underscore or other signs of
    /// a value is a value, and so is `N`; after a colon, a value may follow.
    fn add(&mut self, message: &str, words: usize, start: usize) {
        let message = FOREIGN.iter().fold(message.to_owned(), |rest, foreign| {
            rest.replace(foreign, "0") // taken for a value
        });
        let line = self.markdown[..start].matches('\n').count() + 1;
        let mut run: Vec<&str> = Vec::new();
        for word in message.split([' ', '"', '\n']).chain([""]) {
            let fixed = is_fixed(word);
            if fixed {
                run.push(word);
            }
            if !fixed || word.ends_with(':') {
                if run.len() >= words {
                    self.texts.push(Located { line, text: run.join(" ") });
                }
                run.clear();
            }
        }
    }
}

fn is_fixed(word: &str) -> bool {
    let is_text =
        |character: char| character.is_ascii_alphabetic() || "`'.,:;-()".contains(character);
    let is_placeholder = word.len() == 1 && word != "a";
    word.chars().all(is_text) && word.contains(|c: char| c.is_ascii_alphabetic()) && !is_placeholder
}

/// Whether a piece of code is an English sentence: it has no signs of code, and small words.
fn is_sentence(code: &str) -> bool {
    const SMALL: [&str; 10] = ["the", "is", "was", "are", "were", "its", "not", "of", "to", "for"];
    let has_small_word = code.split(' ').any(|word| SMALL.contains(&word));
    has_small_word && !code.contains(['=', '{', '<', '|', '$', '/', '&'])
}

/// Whether source code has a message. A word inside it may be a value that the source puts in.
pub(crate) fn has(source: &str, message: &str) -> bool {
    let words: Vec<_> = message.split(' ').collect();
    let is_value = |at: usize| {
        let before = format!("{} {{", words[..at].join(" "));
        let after = format!(" {}", words[at + 1..].join(" "));
        source.match_indices(&before).any(|(start, _)| {
            let value = source[start + before.len()..].split_once('}');
            value.is_some_and(|(_, rest)| rest.starts_with(&after))
        })
    };
    source.contains(message) || (1..words.len() - 1).any(is_value)
}

/// The names that other programs have.
const FOREIGN_NAMES: [&str; 13] = [
    "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", // lambda_http
    "PAY_PER_REQUEST",                      // DynamoDB
    "AF_INET",                              // systemd
    "AF_INET6",                             // systemd
    "AF_UNIX",                              // systemd
    "CREDENTIALS_DIRECTORY",                // systemd
    "STATE_DIRECTORY",                      // systemd
    "CURRENT_TIMESTAMP",                    // SQL
    "METH_GET",                             // HAProxy
    "REDIS_URL",                            // of the reader
    "SSL_CERT_FILE",                        // OpenSSL and rustls
    "TCP_NODELAY",                          // the operating system
    "VERIFY_IDENTITY",                      // MySQL
];

/// The names on a page that are not of other programs: codes of answers, environment variables and metrics.
pub(crate) fn names_of_page(markdown: &str) -> Vec<Located> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(markdown.lines()) {
        let ours = names(text).filter(|name| !FOREIGN_NAMES.contains(name));
        found.extend(ours.map(|name| Located { line, text: name.to_owned() }));
    }
    found
}

/// The words in capitals with underscores, and those that begin with `bondify_`.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |character: char| !character.is_ascii_alphanumeric() && character != '_';
    text.split(is_end).filter(|word| {
        let is_capitals = !word.contains(|character: char| character.is_ascii_lowercase());
        let begins = word.starts_with(|character: char| character.is_ascii_uppercase());
        let is_metric = word.starts_with("bondify_") && word.matches('_').count() > 1;
        is_metric || (begins && is_capitals && word.trim_end_matches('_').contains('_'))
    })
}

/// Source code as its messages are read: in one line, without comments.
pub(crate) fn readable(source: &str) -> String {
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut text = String::new();
    for line in lines {
        match line.trim_start().strip_suffix('\\') {
            Some(continued) => text.push_str(continued),
            None => text.extend([line.trim(), " "]),
        }
    }
    text.replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(markdown: &str) -> Vec<String> {
        fixed_texts(markdown).into_iter().map(|located| located.text).collect()
    }

    #[test]
    fn a_message_in_a_sentence_is_found() {
        assert_eq!(texts("The log has `no claim` and\nmore."), ["no claim"]);
        let quoted = "the page says \"This login\nis finished\", and `a b` is no message";
        assert_eq!(texts(quoted), ["This login is finished"]);
        assert_eq!(texts("- `N deliveries were dropped`"), ["deliveries were dropped"]);
    }

    #[test]
    fn a_command_is_no_message() {
        let commands = "`docker stop` `bondify emulate --port PORT` `curl -d \"the\" | od`";
        assert_eq!(texts(commands), [""; 0]);
    }

    #[test]
    fn the_first_column_of_messages_is_found() {
        let table =
            "| message | do |\n|---|---|\n| the key has 5 bytes; it is short | not this one |\n";
        assert_eq!(texts(table), ["the key has", "bytes; it is short"]);
        let other = "| cause | do |\n|---|---|\n| the key is short | nothing at all |\n";
        assert_eq!(texts(other), [""; 0]);
    }

    #[test]
    fn output_is_found_and_input_is_not() {
        let page = "```console\n$ program that is run\nerror: the API refused: it failed\n```\n";
        assert_eq!(texts(page), ["the API refused:"]);
    }

    #[test]
    fn messages_of_other_programs_are_left_out() {
        assert_eq!(texts("It ends with \"linker `cc` not found\"."), [""; 0]);
    }

    #[test]
    fn a_word_of_a_message_may_be_a_value_in_the_source() {
        let source = "a(\"the {cause} is wrong: {}\"); b(\"the clock was wrong:\")";
        assert!(has(source, "the clock was wrong:"));
        assert!(!has(source, "the clock is bad:"));
        assert!(!has(source, "a cause is wrong:"));
        assert!(has(source, "the secret is wrong:"));
    }

    #[test]
    fn codes_variables_and_metrics_are_names() {
        let page = "answers `IN_FLIGHT`\nset `A_B` and `bondify_a_total`, not A, bondify_axum or $TCP_NODELAY";
        let found: Vec<_> =
            names_of_page(page).into_iter().map(|name| (name.line, name.text)).collect();
        let expected = [(1, "IN_FLIGHT"), (2, "A_B"), (2, "bondify_a_total")];
        assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
    }

    #[test]
    fn the_line_is_counted() {
        assert_eq!(fixed_texts("a\n\nThe log has `no claim`.\n")[0].line, 3);
    }

    #[test]
    fn a_message_is_read_across_lines_and_comments_are_not() {
        let source = "// no claim\n  error(\"it is \\\n     \\\"gone\\\"\");\n";
        assert_eq!(readable(source), "error(\"it is \"gone\"\"); ");
    }
}
