//! Text that is almost JSON, made from arbitrary bytes. Random bytes alone are rarely such text.

/// A supply of decisions. When it is used up, every decision is the first choice.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn rest(&mut self, most: u8) -> &'a [u8] {
        let size = usize::from(self.byte() % most).min(self.0.len());
        let (taken, rest) = self.0.split_at(size);
        self.0 = rest;
        taken
    }
}

/// Values of every kind that a field may have, well-formed or not.
const VALUES: &[&str] = &[
    "null",
    "\"\"",
    "\"a\"",
    "\"sess_1\"",
    "\"7123456789\"",
    "\"auth.confirmed\"",
    "1700000000123",
    "\"auth.cancelled\"",
    "\"auth.new\"",
    "\"İ🦀\"",
    "\"\\n\"",
    "\"\\ud83e\\udd80\"",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "0",
    "7",
    "07",
    "-0",
    "-1",
    "1.5",
    "1e3",
    "1.7e12",
    "1e400",
    "1700000000",
    "9007199254740992",
    "9007199254740993.0",
    "18446744073709551615",
    "18446744073709551616",
    "true",
    "[]",
    "{}",
    "[1,{\"a\":[]}]",
    "\"1\\u00e9\"",
    "",
    "\"HS256\"",
    "\"JWT\"",
    "\"proj_vectors\"",
    "1700000300",
    "\"pending\"",
    "\"confirmed\"",
    "\"used\"",
    "\"2023-11-14T22:13:20.123Z\"",
    "\"http://127.0.0.1:9/\"",
    "253402300800000",
    "\"dlv_18446744073709551615\"",
    "\" \"",
    "\"dlv_1\"",
    "\"queued\"",
];

/// An object with some of `fields`, and with an occasional mistake.
pub(crate) fn object(choices: &mut Choices<'_>, fields: &[&str]) -> String {
    let mut text = String::from("{");
    for number in 0..choices.byte() % 16 {
        if number > 0 {
            text.push_str(
                choices.one_of(&[",", ",", ",", ",", ",", ",", " , ", ",,", "", "\n,\t"]),
            );
        }
        let name = choices.one_of(fields);
        match choices.byte() % 24 {
            // The same name with an escape.
            1 => text.push_str(&format!("\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..])),
            2 => text.push_str(&format!("\"{name}\\ud83d\"")),
            3 => text.push_str(&format!("\"{}\"", &name[..name.len() / 2])),
            _ => text.push_str(&format!("\"{name}\"")),
        }
        text.push_str(choices.one_of(&[":", ":", ":", ":", ":", ": ", " :", "::", "", "\":"]));
        match choices.byte() % 12 {
            1 => text.push_str(&object(choices, fields)),
            2 => text.push_str(&format!("\"{}\"", String::from_utf8_lossy(choices.rest(32)))),
            3 => text.push_str(&String::from_utf8_lossy(choices.rest(32))),
            _ => text.push_str(choices.one_of(VALUES)),
        }
    }
    text.push_str(choices.one_of(&["}", "}", "}", "}", "}", "}", "} ", "}}", "", ",}"]));
    text
}

/// The bytes themselves, or after `~` an object that they choose.
pub(crate) fn body(data: &[u8], fields: &[&str]) -> Vec<u8> {
    match data.split_first() {
        Some((b'~', choices)) => object(&mut Choices(choices), fields).into_bytes(),
        _ => data.to_owned(),
    }
}

/// An object with these fields and values, of which some are left out or have other values.
pub(crate) fn altered(choices: &mut Choices<'_>, fields: &[(&str, &str)]) -> String {
    let (odd, left_out) = (choices.byte(), choices.byte());
    let fields = fields.iter().enumerate().filter_map(|(number, (name, value))| {
        // A number that no field has leaves the object as it is.
        let is = |chosen: u8| usize::from(chosen % 32) == number + 1;
        match () {
            () if is(left_out) => None,
            () if is(odd) => Some(format!("\"{name}\":{}", choices.one_of(VALUES))),
            () => Some(format!("\"{name}\":{value}")),
        }
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}
