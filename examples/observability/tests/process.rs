//! The example as a process.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use example_support::process::{Example, own_address, start_fails_naming};

const BINARY: &str = env!("CARGO_BIN_EXE_example-observability");

example_support::process_tests!(BINARY);

/// Spellings of the path that some proxy or framework takes for `/metrics`.
const SPELLINGS: [&str; 13] = [
    "/metrics",
    "/metrics/",
    "//metrics",
    "/./metrics",
    "/x/../metrics",
    "/webhooks/bondify/../../metrics",
    "/%6detrics",
    "/%2Fmetrics",
    "/metrics%2F",
    "/METRICS",
    "/metrics;x",
    "/metrics?x",
    "http://127.0.0.1/metrics",
];

#[test]
fn no_spelling_of_the_path_leads_from_the_public_listener_to_the_metrics() {
    let metrics = own_address();
    let example = Example::start(BINARY, &[("METRICS_ADDRESS", &metrics.to_string())]);
    assert!(get(metrics, "/metrics").contains("\nbondify_handlers_running 0"));
    for path in SPELLINGS {
        let answer = get(example.address(), path);
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(!answer.contains("bondify_"), "{path}: {answer}");
    }
}

#[test]
fn an_address_in_use_for_metrics_is_named() {
    let metrics = own_address().to_string();
    let variables = [("METRICS_ADDRESS", &*metrics)];
    let _first = Example::start(BINARY, &variables);
    start_fails_naming(BINARY, &variables, &metrics);
}

fn get(server: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(server).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    answer
}
