//! The example as a process, and the README's way to send it a delivery.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test panics and prints"
)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

const SECRET: &str = "whsec_test";

fn example() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-axum"));
    command
        .env_remove("BONDIFY_WEBHOOK_SECRET")
        .env_remove("PORT");
    command
}

/// A running example, killed when dropped.
struct Example {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts it on a free port and returns that, too.
    fn start() -> (Self, String) {
        let mut process = example()
            .env("BONDIFY_WEBHOOK_SECRET", SECRET)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut this = Self { process, lines };
        let line = this.line();
        let port = line
            .strip_prefix("listening on http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix("/webhooks/bondify"));
        let port = port.unwrap_or_else(|| panic!("{line}")).to_owned();
        (this, port)
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _ = self.process.wait();
    }
}

fn shell(script: &str) -> Output {
    Command::new("sh")
        .args(["-ec", script])
        .env("BONDIFY_WEBHOOK_SECRET", SECRET)
        .output()
        .unwrap()
}

/// The block of shell commands in the README that calls curl.
fn readme_commands() -> &'static str {
    let readme = include_str!("../../../README.md");
    let mut blocks = readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains("curl")).unwrap()
}

#[test]
fn the_readmes_delivery_is_handled_once() {
    if !shell("command -v openssl curl").status.success() {
        assert!(
            std::env::var_os("CI").is_none(),
            "openssl and curl must be there in CI"
        );
        return println!("SKIPPED: openssl or curl is missing");
    }
    let (mut example, port) = Example::start();
    let commands = readme_commands().replace("127.0.0.1:3000", &format!("127.0.0.1:{port}"));
    assert!(commands.contains(&port), "{commands}");
    let output = shell(&commands);
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(example.line().starts_with("handled auth.confirmed "));
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_it_with_success() {
    let (mut example, _port) = Example::start();
    let pid = example.process.id();
    while !catches_sigint(pid) {
        std::thread::yield_now();
    }
    assert!(shell(&format!("kill -INT {pid}")).status.success());
    let status = example.process.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// Whether the process has a handler for SIGINT already, by the mask in its `/proc`.
#[cfg(target_os = "linux")]
fn catches_sigint(pid: u32) -> bool {
    const SIGINT: u64 = 1 << (2 - 1);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & SIGINT != 0
}

#[test]
fn a_missing_or_bad_setting_is_exit_code_2_and_named() {
    let padded = "whsec_test\n";
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "BONDIFY_WEBHOOK_SECRET is not set"),
        (&[("BONDIFY_WEBHOOK_SECRET", padded)], "whitespace"),
        (
            &[("BONDIFY_WEBHOOK_SECRET", SECRET), ("PORT", "http")],
            "PORT",
        ),
    ];
    for (variables, message) in cases {
        let output = example().envs(variables.iter().copied()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}
