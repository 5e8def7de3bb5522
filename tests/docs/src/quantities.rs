//! Times and sizes: on pages, and as constants in the code.

use std::{collections::HashMap, fs, io, mem, path::Path};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use syn::{Attribute, BinOp, Expr, ExprLit, Ident, Lit, Meta, Type, Visibility, visit::Visit};

/// A time in milliseconds, or a size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Milliseconds.
    Time(u64),
    /// Bytes.
    Size(u64),
}

/// A quantity on a page.
#[derive(Debug)]
pub struct Stated {
    /// The number of its line.
    pub line: usize,
    /// As it is written.
    pub text: String,
    /// Its value.
    pub quantity: Quantity,
    /// The paragraph, the item or the row of a table that states it.
    pub block: String,
}

impl Stated {
    /// All quantities of a page outside of its blocks of code, in the order of lines.
    pub fn all(markdown: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let (mut block, mut start, mut in_code) = (String::new(), 0, false);
        let mut end_block = |block: &mut String, start: usize| {
            let line = markdown[..start].matches('\n').count() + 1;
            let block = mem::take(block);
            for (text, quantity) in quantities(&block) {
                found.push(Self { line, text, quantity, block: block.clone() });
            }
        };
        let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES);
        for (event, span) in parser.into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(_)) => in_code = true,
                Event::End(TagEnd::CodeBlock) => in_code = false,
                Event::Start(Tag::Paragraph | Tag::Item | Tag::TableRow | Tag::TableHead) => {
                    end_block(&mut block, start);
                    start = span.start;
                }
                Event::End(
                    TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead,
                ) => end_block(&mut block, start),
                Event::Text(text) if !in_code => block.push_str(&text),
                Event::Code(code) => block.extend(["`", &code, "`"]),
                Event::SoftBreak | Event::End(TagEnd::TableCell) => block.push(' '),
                _ => {}
            }
        }
        found
    }
}

/// The quantities in a text: a number, and a unit after it or after a space.
fn quantities(text: &str) -> impl Iterator<Item = (String, Quantity)> {
    let is_end = |character: char| !character.is_alphanumeric() && character != '.';
    let words: Vec<_> = text.split(is_end).map(|word| word.trim_end_matches('.')).collect();
    let found: Vec<_> = words
        .iter()
        .enumerate()
        .filter_map(|(at, word)| {
            let digits =
                word.find(|character: char| !character.is_ascii_digit() && character != '.');
            let (number, unit) = word.split_at(digits.unwrap_or(word.len()));
            let unit = if unit.is_empty() { words.get(at + 1)? } else { unit };
            Some((format!("{number} {unit}"), quantity(number.parse().ok()?, unit)?))
        })
        .collect();
    found.into_iter()
}

fn quantity(number: f64, unit: &str) -> Option<Quantity> {
    let of = |factor: f64| (number * factor) as u64;
    Some(match unit {
        "ms" => Quantity::Time(of(1.0)),
        "s" | "second" | "seconds" => Quantity::Time(of(1e3)),
        "minute" | "minutes" => Quantity::Time(of(60e3)),
        "hour" | "hours" => Quantity::Time(of(3_600e3)),
        "day" | "days" => Quantity::Time(of(86_400e3)),
        "B" | "bytes" => Quantity::Size(of(1.0)),
        "KiB" => Quantity::Size(of(1024.0)),
        "MiB" => Quantity::Size(of(1024.0 * 1024.0)),
        _ => return None,
    })
}

/// The constants of a crate that are times or sizes.
#[derive(Default)]
pub struct Constants {
    values: HashMap<String, Vec<Quantity>>,
    public_times: Vec<PublicTime>,
}

/// A public constant of the type `Duration`.
struct PublicTime {
    name: String,
    docs: String,
    /// Its value, or the name of the constant that it is defined by.
    value: Result<Quantity, String>,
}

impl Constants {
    /// Reads the constants in the files below a directory.
    ///
    /// # Errors
    ///
    /// If a directory or a file cannot be read, or a file is not Rust.
    pub fn read(source: &Path) -> io::Result<Self> {
        let mut constants = Self::default();
        constants.read_below(source)?;
        Ok(constants)
    }

    /// The value of a constant.
    ///
    /// # Panics
    ///
    /// If there is no such constant, or if there are several with different values.
    pub fn value(&self, name: &str) -> Quantity {
        let values = self.values.get(name).map_or(&[][..], Vec::as_slice);
        match values {
            [value] => *value,
            _ => panic!("{name} should be one time or size: {values:?}"),
        }
    }

    /// The public constants of the type `Duration` whose documentation does not have their value.
    pub fn without_value_in_docs(&self) -> Vec<&str> {
        let is_stated = |constant: &&PublicTime| {
            let value = constant.value.clone().unwrap_or_else(|name| self.value(&name));
            quantities(&constant.docs).any(|(_, stated)| stated == value)
        };
        let missing = self.public_times.iter().filter(|constant| !is_stated(constant));
        missing.map(|constant| &*constant.name).collect()
    }

    fn read_below(&mut self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.read_below(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file =
                    syn::parse_file(&fs::read_to_string(&path)?).map_err(io::Error::other)?;
                self.visit_file(&file);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &Ident, value: &Expr) {
        let Some(quantity) = quantity_of(value) else { return };
        let values = self.values.entry(name.to_string()).or_default();
        if !values.contains(&quantity) {
            values.push(quantity);
        }
    }

    fn add_docs(&mut self, attributes: &[Attribute], name: &Ident, value: &Expr) {
        let value = match (quantity_of(value), value) {
            (Some(value), _) => Ok(value),
            (None, Expr::Path(other)) => Err(last_name(&other.path)),
            _ => return,
        };
        let name = name.to_string();
        self.public_times.push(PublicTime { name, docs: docs(attributes), value });
    }
}

impl<'a> Visit<'a> for Constants {
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.add(&item.ident, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.add(&item.ident, &item.expr);
        if matches!(item.vis, Visibility::Public(_)) && is_duration(&item.ty) {
            self.add_docs(&item.attrs, &item.ident, &item.expr);
        }
    }
}

fn is_duration(of: &Type) -> bool {
    matches!(of, Type::Path(path) if last_name(&path.path) == "Duration")
}

fn last_name(path: &syn::Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}

/// The text of doc comments.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn quantity_of(value: &Expr) -> Option<Quantity> {
    let Expr::Call(call) = value else { return Some(Quantity::Size(product(value)?)) };
    let Expr::Path(function) = &*call.func else { return None };
    let number = product(call.args.first()?)?;
    match &*last_name(&function.path) {
        "from_secs" => Some(Quantity::Time(number * 1000)),
        "from_millis" => Some(Quantity::Time(number)),
        _ => None,
    }
}

fn product(value: &Expr) -> Option<u64> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Binary(binary) if matches!(binary.op, BinOp::Mul(_)) => {
            product(&binary.left)?.checked_mul(product(&binary.right)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(markdown: &str) -> Vec<(usize, Quantity)> {
        Stated::all(markdown).into_iter().map(|stated| (stated.line, stated.quantity)).collect()
    }

    #[test]
    fn times_and_sizes_are_found_in_text_items_and_tables() {
        let markdown = "up to 8\nseconds\n\n- 64 KiB. End\n\n| a |\n|---|\n| `1s` or 0.5 s |\n";
        let expected = [
            (1, Quantity::Time(8_000)),
            (4, Quantity::Size(65_536)),
            (8, Quantity::Time(1_000)),
            (8, Quantity::Time(500)),
        ];
        assert_eq!(stated(markdown), expected);
    }

    #[test]
    fn code_versions_and_counts_are_left_out() {
        assert_eq!(stated("axum 0.8, 3 times\n\n```sh\nsleep 5s\n```\n"), []);
    }

    #[test]
    fn constants_are_read_from_items_and_impls() {
        let source = "const A: Duration = Duration::from_secs(24 * 60 * 60);
            impl B { pub const C: usize = 64 * 1024; const D: Duration = A; }";
        let mut constants = Constants::default();
        constants.visit_file(&syn::parse_file(source).unwrap());
        assert_eq!(constants.value("A"), Quantity::Time(86_400_000));
        assert_eq!(constants.value("C"), Quantity::Size(65_536));
        assert!(!constants.values.contains_key("D"));
    }

    #[test]
    fn a_public_time_without_its_value_in_its_documentation_is_found() {
        let source = "impl B {
            /// 8 seconds.
            pub const A: Duration = Duration::from_secs(8);
            /// The wait.
            pub const B: Duration = Duration::from_secs(8);
            /// The lease: 9 s.
            pub const C: Duration = limits::LEASE;
        }
        const LEASE: Duration = Duration::from_secs(10);";
        let mut constants = Constants::default();
        constants.visit_file(&syn::parse_file(source).unwrap());
        assert_eq!(constants.without_value_in_docs(), ["B", "C"]);
    }
}
