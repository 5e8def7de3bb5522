//! The attempts of a delivery in comparison: when each was made, and how its answer differs.

use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use super::{body::pretty, markup::Span};
use crate::{Attempt, Delivery, Outcome};

/// The reason why an attempt failed, if there is more to say than its outcome.
pub(super) fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered { response_body, .. } if !outcome.is_success() => {
            let json: Json = serde_json::from_str(response_body).unwrap_or_default();
            let said = json["code"].as_str().or(json["error"].as_str()).unwrap_or(response_body);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            (!said.is_empty()).then(|| said.chars().take(200).collect()) // of a page, for instance
        }
        Outcome::Disconnected { reason } => Some(reason.clone()),
        Outcome::NotLoopback => Some("not a loopback address".to_owned()),
        _ => None,
    }
}

/// An attempt in the time line. Positions are in thousandths of the line, which begins with the
/// delivery and ends with the latest attempt.
pub(super) struct Bar {
    pub(super) start: u64,
    pub(super) width: u64,
    /// The time from the delivery's creation to the start of the attempt.
    pub(super) after: Span,
    pub(super) duration: Span,
    pub(super) result: String,
    pub(super) is_success: bool,
}

impl Bar {
    const LINE: u64 = 1000;
    /// The width of an attempt that is too short to be seen.
    const MIN_WIDTH: u64 = 8;

    pub(super) fn all(delivery: &Delivery) -> Vec<Self> {
        let after = |time: SystemTime| time.duration_since(delivery.created_at).unwrap_or_default();
        let ends =
            delivery.attempts.iter().map(|attempt| after(attempt.started_at) + attempt.duration);
        let total = ends.max().unwrap_or_default().max(Duration::from_millis(1)).as_millis();
        let scaled = |span: Duration| {
            u64::try_from(span.as_millis() * u128::from(Self::LINE) / total).unwrap_or(Self::LINE)
        };
        let bar = |attempt: &Attempt| {
            let after = after(attempt.started_at);
            let width = scaled(attempt.duration).clamp(Self::MIN_WIDTH, Self::LINE);
            Self {
                start: scaled(after).min(Self::LINE - width),
                width,
                after: Span::of(&after),
                duration: Span::of(&attempt.duration),
                result: attempt.outcome.to_string(),
                is_success: attempt.outcome.is_success(),
            }
        };
        delivery.attempts.iter().map(bar).collect()
    }
}

/// A part of the answers that is not the same in all attempts.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// The name of a header, `Answer` or `Body`.
    pub(super) part: String,
    /// One for each attempt.
    pub(super) values: Vec<Value>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Value {
    pub(super) text: String,
    /// Whether the attempt before has another value.
    pub(super) is_changed: bool,
}

impl Difference {
    pub(super) fn all(attempts: &[Attempt]) -> Vec<Self> {
        let of_each = |part: &dyn Fn(&Outcome) -> String| -> Vec<String> {
            attempts.iter().map(|attempt| part(&attempt.outcome)).collect()
        };
        let mut parts = vec![("Answer".to_owned(), of_each(&answer))];
        for name in header_names(attempts) {
            let values = of_each(&|outcome| header(outcome, name));
            parts.push((name.to_owned(), values));
        }
        parts.push(("Body".to_owned(), differing_lines(&of_each(&body))));
        let differing =
            parts.into_iter().filter(|(_, values)| values.windows(2).any(|v| v[0] != v[1]));
        differing.map(|(part, values)| Self::new(part, values)).collect()
    }

    fn new(part: String, texts: Vec<String>) -> Self {
        let changed: Vec<_> = texts.windows(2).map(|pair| pair[0] != pair[1]).collect();
        let changed = std::iter::once(false).chain(changed);
        let value = |(text, is_changed)| Value { text, is_changed };
        Self { part, values: texts.into_iter().zip(changed).map(value).collect() }
    }
}

fn answer(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Disconnected { reason } => format!("{outcome}: {reason}"),
        _ => outcome.to_string(),
    }
}

fn headers(outcome: &Outcome) -> &[(String, String)] {
    match outcome {
        Outcome::Answered { response_headers, .. } => response_headers,
        _ => &[],
    }
}

/// The names of all headers of all answers, in the order in which they were received.
fn header_names(attempts: &[Attempt]) -> Vec<&str> {
    let mut names = Vec::new();
    for (name, _) in attempts.iter().flat_map(|attempt| headers(&attempt.outcome)) {
        if !names.contains(&&**name) {
            names.push(&**name);
        }
    }
    names
}

/// The values of a header, one a line.
fn header(outcome: &Outcome, name: &str) -> String {
    let values = headers(outcome).iter().filter(|header| header.0 == name).map(|header| &*header.1);
    values.collect::<Vec<_>>().join("\n")
}

fn body(outcome: &Outcome) -> String {
    let Outcome::Answered { response_body, .. } = outcome else { return String::new() };
    pretty(response_body).unwrap_or_else(|| response_body.clone())
}

/// The texts without the lines at the start and at the end that are the same in all.
fn differing_lines(texts: &[String]) -> Vec<String> {
    let texts: Vec<Vec<_>> = texts.iter().map(|text| text.lines().collect()).collect();
    let shortest = texts.iter().map(Vec::len).min().unwrap_or_default();
    let is_same = |line: &dyn Fn(&[&str]) -> usize| {
        texts.windows(2).all(|pair| pair[0][line(&pair[0])] == pair[1][line(&pair[1])])
    };
    let start = (0..shortest).take_while(|n| is_same(&|_| *n)).count();
    let end = (1..=shortest - start).take_while(|n| is_same(&|text| text.len() - n)).count();
    let differing = |text: &Vec<&str>| {
        let lines = &text[start..text.len() - end];
        let dots = |count| (count > 0).then_some("…");
        let shown = dots(start).into_iter().chain(lines.iter().copied()).chain(dots(end));
        shown.collect::<Vec<_>>().join("\n")
    };
    texts.iter().map(differing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&str, &str)], body: &str) -> Attempt {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Attempt {
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            request_headers: Vec::new(),
            outcome: Outcome::Answered {
                status,
                response_headers: headers.iter().map(owned).collect(),
                response_body: body.to_owned(),
            },
        }
    }

    fn differences(attempts: &[Attempt]) -> Vec<(String, Vec<String>)> {
        let text =
            |value: Value| format!("{}{}", if value.is_changed { "*" } else { "" }, value.text);
        let all = Difference::all(attempts).into_iter();
        all.map(|part| (part.part, part.values.into_iter().map(text).collect())).collect()
    }

    #[test]
    fn the_reason_of_a_failure_is_what_its_answer_says() {
        for (body, expected) in [
            (r#"{"code":"MAINTENANCE","error":"back soon"}"#, Some("MAINTENANCE")),
            (r#"{"error":"back soon"}"#, Some("back soon")),
            ("{\n  \"detail\": 7\n}", Some(r#"{ "detail": 7 }"#)),
            ("\nthe database\nis unreachable\n", Some("the database is unreachable")),
            (" \n", None),
        ] {
            assert_eq!(reason(&answered(503, &[], body).outcome).as_deref(), expected, "{body}");
            assert_eq!(reason(&answered(200, &[], body).outcome), None);
        }
        let page = reason(&answered(500, &[], &"<p>".repeat(1000)).outcome).unwrap();
        assert_eq!(page.len(), 200);
    }

    #[test]
    fn equal_answers_have_no_differences() {
        let attempt = answered(503, &[("server", "x")], "busy");
        assert_eq!(differences(&[]), []);
        assert_eq!(differences(&[attempt.clone(), attempt]), []);
    }

    #[test]
    fn each_part_that_changes_is_a_difference() {
        let attempts = [
            answered(503, &[("server", "x"), ("retry-after", "1")], r#"{"ok":false,"n":1,"z":0}"#),
            answered(503, &[("server", "x")], r#"{"ok":false,"n":2,"z":0}"#),
            answered(
                200,
                &[("server", "x"), ("x", "a"), ("x", "b")],
                r#"{"ok":false,"n":2,"z":0}"#,
            ),
        ];
        let expected = [
            ("Answer", ["503", "503", "*200"]),
            ("retry-after", ["1", "*", ""]),
            ("x", ["", "", "*a\nb"]),
            ("Body", ["…\n  \"n\": 1,\n…", "*…\n  \"n\": 2,\n…", "…\n  \"n\": 2,\n…"]),
        ];
        let expected =
            expected.map(|(part, values)| (part.to_owned(), values.map(str::to_owned).to_vec()));
        assert_eq!(differences(&attempts), expected);
    }

    #[test]
    fn a_missing_answer_differs() {
        let mut none = answered(0, &[], "");
        none.outcome = Outcome::Disconnected { reason: "refused".to_owned() };
        let expected = ["no answer: refused", "*204"].map(str::to_owned).to_vec();
        let found = differences(&[none, answered(204, &[], "")]);
        assert_eq!(found, [("Answer".to_owned(), expected)]);
    }

    #[test]
    fn shared_lines_at_the_start_and_the_end_are_left_out() {
        let lines = |texts: &[&str]| {
            differing_lines(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(lines(&["a\nb\na", "a\na"]), ["…\nb\n…", "…\n…"]);
        assert_eq!(lines(&["", "a"]), ["", "a"]);
        assert_eq!(lines(&[]), [""; 0]);
    }
}
