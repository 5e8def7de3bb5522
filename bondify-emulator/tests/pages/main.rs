//! The pages: in Chromium, and over HTTP where that shows more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accessibility;
mod bot;
mod http;
mod inspector;
mod support;
