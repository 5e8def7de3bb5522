//! The store on a Redis that demands TLS.

use std::{fs, path::PathBuf};

use bondify_redis::redis::{Client, TlsCertificates};
use bondify_testkit::store_suite::cases::a_completed_key_is_completed;
use test_engines::Upstream;

use super::*;
use crate::engine::proxy_to;

#[tokio::test]
async fn an_encrypted_redis_is_verified_by_its_authority_and_its_name() {
    let Some(server) = Engine::redis_with_tls() else { return };
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let at = |url: &str, authority: Option<PathBuf>| {
        let root_cert = authority.map(|file| fs::read(file).expect("the certificate of one"));
        let client = Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert });
        RedisStore::open(client.expect("a Redis URL and a certificate")).timeout(PATIENT)
    };
    a_completed_key_is_completed(at(server.url(), Some(server.authority()))).await;

    let proxy = proxy_to(Upstream::Tcp(server.address())).await;
    let elsewhere = format!("rediss://{}", proxy.address());
    for (store, reason) in [
        (at(server.url(), Some(server.other_authority())), "UnknownIssuer"),
        (at(server.url(), None), "UnknownIssuer"), // the authorities of the machine
        (at(&elsewhere, Some(server.authority())), "not valid for name"),
        (open(format!("redis://{}", server.address())), ""),
    ] {
        let error = store.claim(&key("refused"), LEASE).await.unwrap_err();
        let cause = error.source().expect("the error of the connection").to_string();
        assert!(cause.contains(reason), "{reason}: {cause}");
    }
}
