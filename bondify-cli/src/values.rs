//! Parsers of option values, for clap. Their errors say what to write instead.

use std::{str::FromStr, time::Duration};

use reqwest::Url;

/// Parses an `http` or `https` URL.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(url),
        _ => {}
    }
    let completed = format!("http://{text}");
    let is_host = !text.is_empty() && !text.contains("://") && Url::parse(&completed).is_ok();
    if is_host {
        Err(format!("the scheme is missing: write {completed}"))
    } else {
        Err("not an http:// or https:// URL".into())
    }
}

/// Parses a duration, such as `10s`, that is not zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parsed(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration => Ok(duration),
    }
}

/// Parses a duration that may be zero.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { parsed(text) }
}

fn parsed(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write e.g. 10s or 500ms"))
}

/// Parses a number from 1.
pub(crate) fn count<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "must be a number from 1")
}

/// Parses a text that is not empty.
pub(crate) fn text(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must not be empty") } else { Ok(text.into()) }
}

/// Parses decimal digits.
pub(crate) fn digits(text: &str) -> Result<String, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(text.into()) } else { Err("not decimal digits") }
}

/// Parses a Telegram username. An empty string means that the user has none.
pub(crate) fn username(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(name) => Err(format!("write it without @: {name}")),
        None => Ok(text.into()),
    }
}
