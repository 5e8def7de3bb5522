//! The example as a process: each login counts once, however often it is delivered.

use bondify_testkit::engine_url;
use example_support::process::{Example, has_curl_and_openssl, new_session, start_fails_naming};

const BINARY: &str = env!("CARGO_BIN_EXE_example-inbox");

fn each_login_counts_once(database_url: &str) {
    if !has_curl_and_openssl() {
        return;
    }
    let logins = |example: &Example, session: &str| {
        let answer = example.answer_to_the_guides_delivery(session);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let line = example.line();
        let count = line.rsplit_once(": ").and_then(|(_, rest)| rest.strip_suffix(" logins"));
        count.and_then(|count| count.parse::<i64>().ok()).unwrap_or_else(|| panic!("{line}"))
    };

    let variables = [("DATABASE_URL", database_url)];
    let example = Example::start(BINARY, &variables);
    let (first, second) = (new_session(), new_session());
    let before = logins(&example, &first);
    assert_eq!(logins(&example, &first), before);
    assert_eq!(logins(&example, &second), before + 1);

    drop(example); // killed
    let restarted = Example::start(BINARY, &variables);
    assert_eq!(logins(&restarted, &second), before + 1);
}

#[test]
fn each_login_counts_once_on_sqlite() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    each_login_counts_once(&format!("sqlite:{}", folder.path().join("users.db").display()));
}

#[test]
fn each_login_counts_once_on_postgres() {
    if let Some(url) = engine_url("BONDIFY_TEST_POSTGRES_URL") {
        each_login_counts_once(&url);
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let path = "/nonexistent/events.db";
    start_fails_naming(BINARY, &[("DATABASE_URL", &format!("sqlite:{path}"))], path);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_success() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let url = format!("sqlite:{}", folder.path().join("users.db").display());
    example_support::process::a_signal_ends_it_with_success(BINARY, &[("DATABASE_URL", &url)]);
}
