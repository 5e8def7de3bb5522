//! Without a TLS feature, a client of `https://` is not built. For `scripts/features`: with all features this file is
//! empty.

#![cfg(not(any(feature = "tls-aws-lc", feature = "tls-ring")))]

use bondify_client::Client;

#[test]
fn a_client_of_https_is_not_built_and_the_error_names_the_features() {
    let error = Client::new().unwrap_err().to_string();
    assert!(error.contains("tls-ring") && error.contains("tls-aws-lc"), "{error}");
}

#[test]
fn an_http_client_of_the_app_takes_the_place_of_the_features() {
    assert!(Client::builder().http(reqwest::Client::new()).build().is_ok());
}

#[test]
fn plain_http_needs_no_tls() {
    assert!(Client::builder().base_url("http://127.0.0.1:4680").build().is_ok());
}
