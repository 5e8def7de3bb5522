//! Without a TLS feature, a URL that demands TLS is refused. For `scripts/features`: with all features
//! this file is empty.

#![cfg(not(feature = "tls-rustls"))]

use bondify_redis::redis::Client;

#[test]
fn a_redis_url_that_demands_tls_is_refused() {
    let error = Client::open("rediss://127.0.0.1").unwrap_err().to_string();
    assert!(error.contains("can't connect with TLS, the feature is not enabled"), "{error}");
}
