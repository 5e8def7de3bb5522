//! The server examples as processes: one set of cases for all of them.

use std::{
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const SECRET: &str = "whsec_test";

/// Expands to the tests of the server example whose binary is at that path.
#[macro_export]
macro_rules! process_tests {
    ($binary:expr) => {
        #[test]
        fn the_readmes_delivery_is_handled_once() {
            $crate::process::the_readmes_delivery_is_handled_once($binary);
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn ctrl_c_ends_it_with_success() {
            $crate::process::ctrl_c_ends_it_with_success($binary);
        }

        #[test]
        fn a_missing_or_bad_setting_is_exit_code_2_and_named() {
            $crate::process::a_missing_or_bad_setting_is_exit_code_2_and_named($binary);
        }
    };
}

/// The README says how to send a delivery with a shell, and what comes of it.
///
/// # Panics
///
/// If the README is not right.
pub fn the_readmes_delivery_is_handled_once(binary: &str) {
    if !has_curl_and_openssl() {
        return;
    }
    let (example, session) = (Example::start(binary, &[]), new_session());
    example.handles_the_readmes_delivery(&session);
    example.takes_the_readmes_delivery_for_a_duplicate(&session);
}

/// What one instance has handled is a duplicate to another with the same `variables`.
///
/// # Panics
///
/// If it is not.
pub fn instances_share_a_store(binary: &str, variables: &[(&str, &str)]) {
    if !has_curl_and_openssl() {
        return;
    }
    let session = new_session();
    let [first, second] = [0, 1].map(|_| Example::start(binary, variables));
    first.handles_the_readmes_delivery(&session);
    second.takes_the_readmes_delivery_for_a_duplicate(&session);
    drop((first, second));
    let restarted = Example::start(binary, variables);
    restarted.takes_the_readmes_delivery_for_a_duplicate(&session);
}

/// A session token of its own: a store may remember those of earlier runs.
#[must_use]
pub fn new_session() -> String {
    format!("sess_{:016x}", RandomState::new().hash_one(()))
}

/// Whether the README's delivery can be sent from here.
///
/// # Panics
///
/// In CI, where it has to be.
#[must_use]
pub fn has_curl_and_openssl() -> bool {
    let found = shell("command -v openssl && command -v curl").status.success();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "openssl and curl must be there in CI");
        eprintln!("SKIPPED: openssl or curl is missing");
    }
    found
}

/// The block of shell commands in the README that calls curl.
fn readme_commands() -> &'static str {
    let readme = include_str!("../../../README.md");
    let mut blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains("curl")).expect("the README calls curl")
}

/// Ctrl-C is not a failure.
///
/// # Panics
///
/// If it is.
pub fn ctrl_c_ends_it_with_success(binary: &str) {
    let status = Example::start(binary, &[]).interrupted();
    assert!(status.success(), "{status:?}");
}

/// Whether the process has a handler for SIGINT already, by the mask in its `/proc`.
fn catches_sigint(pid: u32) -> bool {
    const SIGINT: u64 = 1 << (2 - 1);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("is hexadecimal") & SIGINT != 0
}

/// Asks again and again, for half a minute.
fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        match ask() {
            None => thread::sleep(Duration::from_millis(1)),
            answer => return answer,
        }
    }
    None
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Exit code 2 and a message that says what to set, without the secret.
///
/// # Panics
///
/// If not.
pub fn a_missing_or_bad_setting_is_exit_code_2_and_named(binary: &str) {
    let padded = format!("{SECRET}\n");
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "BONDIFY_WEBHOOK_SECRET is not set"),
        (&[("BONDIFY_WEBHOOK_SECRET", &padded)], "whitespace"),
        (&[("BONDIFY_WEBHOOK_SECRET", SECRET), ("PORT", "http")], "PORT"),
    ];
    for (variables, message) in cases {
        let output = command(binary).envs(variables.iter().copied()).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

/// A running example, killed when dropped.
#[derive(Debug)]
pub struct Example {
    process: Child,
    lines: mpsc::Receiver<String>,
    port: String,
}

impl Example {
    /// Starts it on a free port, with those environment variables.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = command(binary);
        command.env("BONDIFY_WEBHOOK_SECRET", SECRET).env("PORT", "0").stdout(Stdio::piped());
        command.envs(variables.iter().copied());
        let mut process = command.spawn().expect("it starts");
        let lines = read_lines(process.stdout.take().expect("is piped"));
        let mut this = Self { process, lines, port: String::new() };
        let line = this.line();
        let port = line
            .strip_prefix("listening on http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix("/webhooks/bondify"));
        this.port = port.unwrap_or_else(|| panic!("{line}")).to_owned();
        this
    }

    /// The next line that it prints.
    ///
    /// # Panics
    ///
    /// If there is none for half a minute.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).expect("it prints another line")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.parse().expect("a port")).into()
    }

    /// Presses Ctrl-C, and says how it ended.
    ///
    /// # Panics
    ///
    /// If it has not ended after half a minute.
    #[must_use]
    pub fn interrupted(mut self) -> ExitStatus {
        let pid = self.process.id();
        let signals = wait_for(|| catches_sigint(pid).then_some(()));
        signals.expect("it comes to listen for signals");
        assert!(shell(&format!("kill -INT {pid}")).status.success());
        wait_for(|| self.process.try_wait().expect("it is ours")).expect("it ends")
    }

    fn handles_the_readmes_delivery(&self, session: &str) {
        let answer = self.answer_to_the_readmes_delivery(session);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let line = self.line();
        assert!(line.starts_with("handled auth.confirmed "), "{line}");
    }

    fn takes_the_readmes_delivery_for_a_duplicate(&self, session: &str) {
        let answer = self.answer_to_the_readmes_delivery(session);
        assert!(answer.ends_with(r#"{"status":"duplicate"}"#), "{answer}");
    }

    /// Sends the README's delivery, as of that session.
    ///
    /// # Panics
    ///
    /// If the README has none.
    #[must_use]
    pub fn answer_to_the_readmes_delivery(&self, session: &str) -> String {
        let here = format!("127.0.0.1:{}", self.port);
        let commands = readme_commands().replace("127.0.0.1:3000", &here);
        let commands = commands.replace("sess_abc123", session);
        assert!(commands.contains(&here) && commands.contains(session), "{commands}");
        String::from_utf8_lossy(&shell(&commands).stdout).into_owned()
    }
}

fn read_lines(output: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output).lines();
        while let Some(Ok(line)) = output.next()
            && sender.send(line).is_ok()
        {}
    });
    lines
}

impl Drop for Example {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn command(binary: &str) -> Command {
    let mut command = Command::new(binary);
    for variable in ["BONDIFY_WEBHOOK_SECRET", "BONDIFY_STORE", "DATABASE_URL", "PORT"] {
        command.env_remove(variable);
    }
    command
}

fn shell(script: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).env("BONDIFY_WEBHOOK_SECRET", SECRET);
    shell.output().expect("there is a shell")
}
