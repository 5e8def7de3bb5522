//! A reader of JSON that shares no code with `serde_json`, written from RFC 8259. The readers of
//! `bondify-core` are compared with it. Strings are UTF-16, as in JavaScript, so that they can contain half a
//! surrogate pair.

use std::collections::BTreeMap;

/// A JSON value, as far as an event's fields need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    /// A string, in UTF-16.
    Text(Vec<u16>),
    /// The text of a number.
    Number(&'a str),
    Null,
    /// Another literal, an array or an object.
    Other,
}

/// A whole number, as far as floating-point arithmetic can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Negative, not whole or out of range.
    No,
    /// This number.
    Exactly(u64),
    /// A number with so many digits that rounding decides.
    Unsure,
}

impl Json<'_> {
    /// The string, if it is one of Unicode text.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => String::from_utf16(text).ok(),
            _ => None,
        }
    }

    /// The string, with U+FFFD for parts that are not Unicode. A run of U+FFFD counts as one.
    pub(crate) fn mended(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(mended(&String::from_utf16_lossy(text))),
            _ => None,
        }
    }

    pub(crate) fn whole(&self) -> Whole {
        match self {
            Self::Number(number) => whole(number),
            _ => Whole::No,
        }
    }
}

/// The same text with each run of U+FFFD as one.
pub(crate) fn mended(text: &str) -> String {
    let mut mended = String::new();
    for c in text.chars() {
        if c != char::REPLACEMENT_CHARACTER || !mended.ends_with(c) {
            mended.push(c);
        }
    }
    mended
}

/// Digits are read exactly. Any other form has to be whole and at most 2^53.
fn whole(number: &str) -> Whole {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.parse().map_or(Whole::No, Whole::Exactly);
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let exponent: i32 = exponent.parse().unwrap_or(i32::MAX);
    if digits > 15 || exponent.unsigned_abs() > 22 {
        return Whole::Unsure;
    }
    match number.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && (0.0..=EXACT).contains(&value) => {
            Whole::Exactly(value as u64)
        }
        _ => Whole::No,
    }
}

/// The fields of `text`, if it is one JSON object. Of several fields with one name, the last counts.
pub(crate) fn object(text: &str) -> Option<BTreeMap<Vec<u16>, Json<'_>>> {
    let mut reader = Reader { text, at: 0 };
    let fields = reader.object()?;
    reader.space();
    (reader.at == text.len()).then_some(fields)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, wanted: u8) -> bool {
        let accepted = self.peek() == Some(wanted);
        self.at += usize::from(accepted);
        accepted
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn object(&mut self) -> Option<BTreeMap<Vec<u16>, Json<'a>>> {
        let mut fields = BTreeMap::new();
        self.list(b'{', b'}', |reader| {
            let name = reader.string()?;
            reader.space();
            reader.accept(b':').then_some(())?;
            fields.insert(name, reader.value()?);
            Some(())
        })?;
        Some(fields)
    }

    /// The values between `open` and `close`, separated by commas.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.space();
        self.accept(open).then_some(())?;
        self.space();
        if self.accept(close) {
            return Some(());
        }
        loop {
            self.space();
            item(self)?;
            self.space();
            if self.accept(close) {
                return Some(());
            }
            self.accept(b',').then_some(())?;
        }
    }

    fn value(&mut self) -> Option<Json<'a>> {
        self.space();
        match self.peek()? {
            b'"' => self.string().map(Json::Text),
            b'{' => self.object().map(|_| Json::Other),
            b'[' => self.list(b'[', b']', |reader| reader.value().map(drop)).map(|()| Json::Other),
            b'-' | b'0'..=b'9' => self.number().map(Json::Number),
            _ => {
                let literals =
                    [("null", Json::Null), ("true", Json::Other), ("false", Json::Other)];
                let rest = &self.text[self.at..];
                let mut literals = literals.into_iter();
                let (literal, value) = literals.find(|(literal, _)| rest.starts_with(literal))?;
                self.at += literal.len();
                Some(value)
            }
        }
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _sign = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Some(&self.text[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<Vec<u16>> {
        self.accept(b'"').then_some(())?;
        let mut units = Vec::new();
        loop {
            let c = self.text[self.at..].chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(units),
                '\\' => units.push(self.escape()?),
                '\0'..' ' => return None,
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let escape = self.peek()?;
        self.at += 1;
        Some(match escape {
            b'"' | b'\\' | b'/' => escape.into(),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let hex = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
                u16::from_str_radix(hex, 16).ok()?
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "{}",
            " { } ",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "[]",
            "",
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":1e}"#,
            r#"{"a":-0.5E+7}"#,
            r#"{"a":"\u00e9\n\/"}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u00g0"}"#,
            "{\"a\":\"\t\"}",
            r#"{"a":[1,{"b":[]},"c"]}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":nul}"#,
            r#"{"a":truefalse}"#,
            r#"{"a":"b"#,
            r#"{"\u0061":1,"a":2}"#,
        ] {
            let other = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
            assert_eq!(object(text).is_some(), other.is_some(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_distinguished_from_other_numbers() {
        for (number, expected) in [
            ("0", Whole::Exactly(0)),
            ("-0", Whole::Exactly(0)),
            ("1.7e12", Whole::Exactly(1_700_000_000_000)),
            ("18446744073709551615", Whole::Exactly(u64::MAX)),
            ("18446744073709551616", Whole::No),
            ("-1", Whole::No),
            ("1.5", Whole::No),
            ("1e22", Whole::No),
            ("1e400", Whole::Unsure),
            ("1.00000000000000000001", Whole::Unsure),
        ] {
            assert_eq!(whole(number), expected, "{number}");
        }
    }
}
