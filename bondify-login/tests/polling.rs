//! The requests to Bondify's API, which is scripted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
