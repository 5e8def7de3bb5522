//! The HTTP contract suite against axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapter;

bondify_testkit::http_suite!(adapter::Axum);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = test_engines::an_oversized_body_behind_nginx_is_refused::<adapter::Axum>();
    bondify_testkit::within_a_minute(case).await;
}
