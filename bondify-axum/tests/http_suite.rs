//! The HTTP contract suite against axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapter;

bondify_testkit::http_suite!(adapter::Axum);
