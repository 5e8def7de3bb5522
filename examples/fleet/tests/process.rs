//! The example as processes that share a store.

use bondify_testkit::engine_url;
use example_support::process::{
    a_silent_client_is_disconnected, instances_share_a_store, start_fails_naming,
};
#[cfg(unix)]
use test_engines::Engine;

const BINARY: &str = env!("CARGO_BIN_EXE_example-fleet");

example_support::process_tests!(BINARY);

#[test]
fn silent_clients_are_disconnected() {
    a_silent_client_is_disconnected(BINARY);
}

#[test]
fn instances_share_a_sqlite_file() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let store = format!("sqlite:{}", folder.path().join("events.db").display());
    instances_share_a_store(BINARY, &[("BONDIFY_STORE", &store)]);
}

#[test]
fn instances_share_a_redis() {
    if let Some(url) = engine_url("BONDIFY_TEST_REDIS_URL") {
        instances_share_a_store(BINARY, &[("BONDIFY_STORE", &format!("{url}/1"))]);
    }
}

#[test]
fn instances_share_a_postgres() {
    if let Some(url) = engine_url("BONDIFY_TEST_POSTGRES_URL") {
        instances_share_a_store(BINARY, &[("BONDIFY_STORE", &url)]);
    }
}

#[test]
fn instances_share_a_mysql() {
    if let Some(url) = engine_url("BONDIFY_TEST_MYSQL_URL") {
        instances_share_a_store(BINARY, &[("BONDIFY_STORE", &url)]);
    }
}

#[cfg(unix)]
#[test]
fn instances_share_engines_that_demand_tls() {
    for (engine, mode) in [
        (Engine::redis_with_tls(), ""),
        (Engine::postgres_with_tls(), "?sslmode=verify-full"),
        (Engine::mariadb_with_tls(), "?ssl-mode=VERIFY_IDENTITY"),
    ] {
        let Some(engine) = engine else { return };
        let (store, authority) = (format!("{}{mode}", engine.url()), engine.authority());
        let authority = authority.to_str().expect("its path is text");
        let variables = [("BONDIFY_STORE", &*store), ("SSL_CERT_FILE", authority)];
        instances_share_a_store(BINARY, &variables);
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let path = "/nonexistent/events.db";
    start_fails_naming(BINARY, &[("BONDIFY_STORE", &format!("sqlite:{path}"))], path);
}
