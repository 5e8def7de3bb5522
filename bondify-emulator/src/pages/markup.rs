//! Small parts that many templates share.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use askama::{Template, filters::HtmlSafe};

use crate::clock::iso;

/// A time, to the millisecond. The script converts it to the reader's time zone.
#[derive(Template)]
#[template(source = r#"<time datetime="{{ iso }}">{{ iso }}</time>"#, ext = "html")]
pub(super) struct Moment {
    iso: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    pub(super) fn of(time: &SystemTime) -> Self {
        Self { iso: iso(*time) }
    }
}

/// The time left until `end`. The script counts it down.
#[derive(Template)]
#[template(
    source = r#"<span class="timer" data-left="{{ left.as_millis() }}">{{ left.as_secs() / 60 }}:{{ "{:02}"|format(left.as_secs() % 60) }}</span>"#,
    ext = "html"
)]
pub(super) struct Countdown {
    left: Duration,
}

impl HtmlSafe for Countdown {}

impl Countdown {
    pub(super) fn to(end: &SystemTime, now: &SystemTime) -> Self {
        Self { left: end.duration_since(*now).unwrap_or_default() }
    }
}

/// `7 ms`, `1.25 s`.
pub(super) struct Span(Duration);

impl Span {
    pub(super) fn of(duration: &Duration) -> Self {
        Self(*duration)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms @ 0..1000 => write!(f, "{ms} ms"),
            _ => write!(f, "{:.2} s", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_utc_to_the_millisecond() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007);
        let expected = "2023-11-14T22:13:20.007Z";
        assert_eq!(
            Moment::of(&time).to_string(),
            format!(r#"<time datetime="{expected}">{expected}</time>"#)
        );
    }

    #[test]
    fn a_countdown_is_minutes_and_seconds_and_ends_at_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let left = |s| Countdown::to(&(SystemTime::UNIX_EPOCH + Duration::from_secs(s)), &now);
        assert!(left(1601).to_string().contains(r#"data-left="601000">10:01<"#));
        assert!(left(5).to_string().contains(r#"data-left="0">0:00<"#));
    }

    #[test]
    fn a_duration_is_shown_in_a_suitable_unit() {
        assert_eq!(Span(Duration::from_millis(999)).to_string(), "999 ms");
        assert_eq!(Span(Duration::from_millis(1250)).to_string(), "1.25 s");
    }
}
