use std::{
    fmt::{self, Display},
    io::{self, StdoutLock, Write as _},
    time::{Duration, SystemTime},
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use bondify_emulator::Visible;
use reqwest::StatusCode;
use serde::Serialize;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Writes results to standard output: as text, coloured on a terminal, or as one JSON object a
/// line.
pub(crate) struct Output {
    json: bool,
    stdout: AutoStream<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout: anstream::stdout().lock() }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn show(&mut self, result: &(impl Display + Serialize)) -> io::Result<()> {
        if self.json {
            writeln!(self.stdout, "{}", serde_json::to_string(result)?)
        } else {
            writeln!(self.stdout, "{result}")
        }
    }

    /// Writes the content of a file unchanged.
    pub(crate) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.stdout.write_all(content)?;
        self.stdout.flush()
    }
}

/// Writes a warning to standard error. A write to a closed standard error is ignored: there is no other
/// output.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{BAD}warning:{BAD:#} {text}");
}

/// The HTTP status of an answer. In JSON it is a number.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Status(pub(crate) u16);

impl Status {
    pub(crate) fn is_success(self) -> bool {
        matches!(self.0, 200..=299)
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = if self.is_success() { GOOD } else { BAD };
        match StatusCode::from_u16(self.0) {
            Ok(status) => write!(f, "{style}{status}{style:#}"),
            Err(_) => write!(f, "{style}{}{style:#}", self.0),
        }
    }
}

/// A time in RFC 3339, in milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Untrusted text without the whitespace at its end, and with its hidden characters escaped.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Visible(self.0.trim_end()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_control_the_terminal() {
        let shown = Printable("İ 🦀\n\u{1b}[2J\r\u{9b}1m\u{7f}\u{202e}\n").to_string();
        assert_eq!(shown, "İ 🦀\n\\u{1b}[2J\\u{d}\\u{9b}1m\\u{7f}\\u{202e}");
    }
}
