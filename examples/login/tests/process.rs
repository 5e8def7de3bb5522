//! The example as a process that is told to end.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A browser that waits for its login holds an open event stream.
#[test]
fn sigterm_ends_it_beside_a_browser_that_waits() {
    let folder = tempfile::tempdir().expect("there is room");
    let database = folder.path().join("login.db");
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-login"));
    let mut example = example
        .env("PORT", "0")
        .env("DATABASE_URL", format!("sqlite:{}?mode=rwc", database.display()))
        .env_remove("BONDIFY_PROJECT_ID")
        .env_remove("REDIS_URL")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(example.stdout.take().expect("is piped")).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("sign in on http://")?.to_owned()));
    let address = line.expect("it prints its address");

    let login = send(&address, "POST /login");
    let cookie =
        login.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().expect("has a value");
    let mut events = TcpStream::connect(&address).expect("it listens");
    write!(events, "GET /login/events HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\r\n")
        .expect("it reads");
    let mut head = [0; 15];
    events.read_exact(&mut head).expect("it answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");

    let start = Instant::now();
    let kill = Command::new("kill").args(["-TERM", &example.id().to_string()]).status();
    assert!(kill.expect("there is one").success());
    assert!(example.wait().expect("it is ours").success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

fn send(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    let request = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    answer
}
