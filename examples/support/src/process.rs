//! Test cases for the server examples as processes.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Output, Stdio},
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
        fn the_guides_delivery_is_handled_once() {
            $crate::process::the_guides_delivery_is_handled_once($binary);
        }

        #[cfg(unix)]
        #[test]
        fn a_signal_ends_it_with_success() {
            $crate::process::a_signal_ends_it_with_success($binary, &[]);
        }

        #[cfg(unix)]
        #[test]
        fn open_connections_do_not_keep_it_from_ending() {
            $crate::process::open_connections_do_not_keep_it_from_ending($binary);
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn sigterm_ends_it_as_process_1() {
            $crate::process::sigterm_ends_it_as_process_1($binary);
        }

        #[test]
        fn an_address_in_use_is_named() {
            $crate::process::an_address_in_use_is_named($binary);
        }

        #[test]
        fn a_missing_or_bad_setting_is_exit_code_2_and_named() {
            $crate::process::a_missing_or_bad_setting_is_exit_code_2_and_named($binary);
        }
    };
}

/// Sends the delivery of the guide from a shell, twice. It is handled once.
///
/// # Panics
///
/// If the answers are not those of the guide.
pub fn the_guides_delivery_is_handled_once(binary: &str) {
    if !has_curl_and_openssl() {
        return;
    }
    let (example, session) = (Example::start(binary, &[]), new_session());
    example.handles_the_guides_delivery(&session);
    example.takes_the_guides_delivery_for_a_duplicate(&session);
}

/// An event that one instance has handled is a duplicate for another with the same `variables`.
///
/// # Panics
///
/// If another instance handles it again.
pub fn instances_share_a_store(binary: &str, variables: &[(&str, &str)]) {
    if !has_curl_and_openssl() {
        return;
    }
    let session = new_session();
    let [first, second] = [0, 1].map(|_| Example::start(binary, variables));
    first.handles_the_guides_delivery(&session);
    second.takes_the_guides_delivery_for_a_duplicate(&session);
    drop((first, second));
    let restarted = Example::start(binary, variables);
    restarted.takes_the_guides_delivery_for_a_duplicate(&session);
}

/// A new session token. A store may still have the tokens of earlier runs.
#[must_use]
pub fn new_session() -> String {
    format!("sess_{:016x}", RandomState::new().hash_one(()))
}

/// An address of this machine that no other test uses. Linux accepts all of 127.0.0.0/8.
#[must_use]
pub fn own_address() -> SocketAddr {
    let [a, b, c, ..] = RandomState::new().hash_one(()).to_be_bytes();
    (Ipv4Addr::new(127, a, b, c.clamp(2, 254)), 9464).into()
}

/// Whether curl and openssl are installed, which the guide's commands need.
///
/// # Panics
///
/// In CI, if they are not.
#[must_use]
pub fn has_curl_and_openssl() -> bool {
    let found = shell("command -v openssl && command -v curl").status.success();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "openssl and curl must be installed in CI");
        eprintln!("SKIPPED: openssl or curl is missing");
    }
    found
}

/// The block of shell commands in the guide that calls curl.
fn guide_commands() -> &'static str {
    let page = include_str!("../../../guide/testing.md");
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains("curl")).expect("the guide calls curl")
}

/// SIGINT and SIGTERM end the example without error output and with exit code 0, as soon as it listens.
///
/// # Panics
///
/// If it ends in another way.
pub fn a_signal_ends_it_with_success(binary: &str, variables: &[(&str, &str)]) {
    for signal in ["INT", "TERM"] {
        Example::start(binary, variables).is_ended_by(signal);
    }
}

/// The example ends with exit code 0 within the 10 seconds of `docker stop`, although one client has sent
/// half of a head and another one half of a body.
///
/// # Panics
///
/// If it ends in another way, or later.
pub fn open_connections_do_not_keep_it_from_ending(binary: &str) {
    let example = Example::start(binary, &[]);
    let head = "POST /webhooks/bondify HTTP/1.1\r\nhost: localhost\r\n";
    let body = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let _half_a_head = example.connect(head);
    let _half_a_body = example.connect(&format!("{head}{body}"));
    // The connections above are accepted before this one is answered.
    let unsigned = format!("{head}content-type: application/json\r\ncontent-length: 0\r\n\r\n");
    let mut last = example.connect(&unsigned);
    let mut answer = [0; 12];
    last.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 401");

    let start = Instant::now();
    send_signal("TERM", example.process.id());
    example.ends_with_success();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// A connection on which nothing or half a head is sent is closed. Not every framework can do this.
///
/// # Panics
///
/// If the connection stays open.
pub fn a_silent_client_is_disconnected(binary: &str) {
    let example = Example::start(binary, &[]);
    let silent = ["", "POST /webhooks/bondify HTTP/1.1\r\n"].map(|part| example.connect(part));
    for mut connection in silent {
        connection.set_read_timeout(Some(TIMEOUT)).expect("is not zero");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("it closes the connection");
    }
}

/// SIGTERM ends the example as process 1 of a container. The kernel does not end process 1 by a signal
/// that the process does not listen for.
///
/// # Panics
///
/// If SIGTERM does not end it; in CI also if no PID namespace can be created.
pub fn sigterm_ends_it_as_process_1(binary: &str) {
    let as_process_1 = |namespace: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--kill-child"]).args(namespace);
        unshare
    };
    let works = |namespace: &&&[&str]| {
        let mut probe = as_process_1(namespace);
        probe.arg("true").stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    // In a chroot nobody may have a user namespace, and root needs none.
    let namespaces = [&["--user", "--map-root-user"][..], &[]];
    let Some(namespace) = namespaces.iter().find(works) else {
        assert!(std::env::var_os("CI").is_none(), "PID namespaces must be allowed in CI");
        eprintln!("SKIPPED: no PID namespace can be created");
        return;
    };
    let mut command = as_process_1(namespace);
    command.arg(binary);
    let example = Example::start_by(command, &[]);
    let unshare = example.process.id();
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
    let process_1 = children.expect("it runs").trim().parse().expect("there is one child");
    send_signal("TERM", process_1);
    example.ends_with_success();
}

/// If the address is in use, the error names it, without the `Debug` output of an error.
///
/// # Panics
///
/// On any other error.
pub fn an_address_in_use_is_named(binary: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let (_listener, address) = taken.expect("there is a free port");
    let port = address.port().to_string();
    start_fails_naming(binary, &[("PORT", &port)], &address.to_string());
}

/// The example ends with exit code 1 and a message that contains `name`, without the `Debug` output of an
/// error.
///
/// # Panics
///
/// If it ends in another way.
pub fn start_fails_naming(binary: &str, variables: &[(&str, &str)], name: &str) {
    let mut command = without_settings(Command::new(binary));
    command.env("BONDIFY_WEBHOOK_SECRET", SECRET).envs(variables.iter().copied());
    let output = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("Error: cannot ") && error.contains(name), "{error}");
    assert!(!error.contains('{'), "{error}");
}

fn send_signal(signal: &str, pid: u32) {
    assert!(shell(&format!("kill -{signal} {pid}")).status.success());
}

/// Calls `ask` until it returns a value, for half a minute.
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

/// A missing or invalid setting ends the example with exit code 2 and a message that says what to set,
/// without the secret.
///
/// # Panics
///
/// If it ends in another way.
pub fn a_missing_or_bad_setting_is_exit_code_2_and_named(binary: &str) {
    let padded = format!("{SECRET}\n");
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "BONDIFY_WEBHOOK_SECRET is not set"),
        (&[("BONDIFY_WEBHOOK_SECRET", &padded)], "whitespace"),
        (&[("BONDIFY_WEBHOOK_SECRET", SECRET), ("PORT", "http")], "PORT"),
    ];
    for (variables, message) in cases {
        let output =
            without_settings(Command::new(binary)).envs(variables.iter().copied()).output();
        let output = output.expect("it starts");
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
    address: SocketAddr,
}

impl Example {
    /// Starts the example on a free port, with these environment variables.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(binary), variables)
    }

    /// Starts the example by this command, as [`start`](Self::start) does.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_by(command: Command, variables: &[(&str, &str)]) -> Self {
        let mut command = without_settings(command);
        command.env("BONDIFY_WEBHOOK_SECRET", SECRET).env("PORT", "0");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(variables.iter().copied());
        let mut process = command.spawn().expect("it starts");
        let lines = read_lines(process.stdout.take().expect("is piped"));
        let mut this = Self { process, lines, address: (Ipv4Addr::LOCALHOST, 0).into() };
        this.address = loop {
            if let Some(address) = announced(&this.line()) {
                break address;
            }
        };
        this
    }

    /// The next line that the example prints.
    ///
    /// # Panics
    ///
    /// If there is none for half a minute.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).expect("it prints another line")
    }

    /// The address that the example listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the signal, which ends the example without error output and with exit code 0. Returns the
    /// rest of the lines that it printed.
    ///
    /// # Panics
    ///
    /// If it ends in another way.
    pub fn is_ended_by(self, signal: &str) -> Vec<String> {
        send_signal(signal, self.process.id());
        self.ends_with_success()
    }

    fn connect(&self, send: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).expect("it listens");
        connection.write_all(send.as_bytes()).expect("it reads");
        connection
    }

    /// Waits until it has ended, and asserts that it printed no error.
    fn ends_with_success(mut self) -> Vec<String> {
        let status = wait_for(|| self.process.try_wait().expect("it is ours"));
        let status = status.expect("it ends");
        let mut errors = String::new();
        let mut stderr = self.process.stderr.take().expect("is piped");
        stderr.read_to_string(&mut errors).expect("it can be read");
        let quiet = errors.lines().all(|line| line.contains(" INFO "));
        assert!(status.success() && quiet, "{status}: {errors}");
        self.lines.iter().collect()
    }

    fn handles_the_guides_delivery(&self, session: &str) {
        let answer = self.answer_to_the_guides_delivery(session);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let line = self.line();
        assert!(line.starts_with("handled auth.confirmed "), "{line}");
    }

    fn takes_the_guides_delivery_for_a_duplicate(&self, session: &str) {
        let answer = self.answer_to_the_guides_delivery(session);
        assert!(answer.ends_with(r#"{"status":"duplicate"}"#), "{answer}");
    }

    /// Sends the guide's delivery with this session token, and returns the answer.
    ///
    /// # Panics
    ///
    /// If the guide has no delivery.
    #[must_use]
    pub fn answer_to_the_guides_delivery(&self, session: &str) -> String {
        let here = self.address.to_string();
        let commands = guide_commands().replace("127.0.0.1:3000", &here);
        let commands = commands.replace("sess_abc123", session);
        assert!(commands.contains(&here) && commands.contains(session), "{commands}");
        String::from_utf8_lossy(&shell(&commands).stdout).into_owned()
    }
}

/// The address in the line that an example prints when it starts.
fn announced(line: &str) -> Option<SocketAddr> {
    let (_, url) =
        line.split_once("sign in on http://").or(line.split_once("listening on http://"))?;
    url.strip_suffix("/webhooks/bondify").unwrap_or(url).parse().ok()
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

/// The settings of examples, and the variable that adds a backtrace to an error.
const VARIABLES: [&str; 7] = [
    "ANNOUNCE_SECONDS",
    "BONDIFY_WEBHOOK_SECRET",
    "BONDIFY_STORE",
    "DATABASE_URL",
    "HOST",
    "PORT",
    "RUST_BACKTRACE",
];

fn without_settings(mut command: Command) -> Command {
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.env("METRICS_ADDRESS", "127.0.0.1:0");
    command
}

fn shell(script: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).env("BONDIFY_WEBHOOK_SECRET", SECRET);
    shell.output().expect("there is a shell")
}
