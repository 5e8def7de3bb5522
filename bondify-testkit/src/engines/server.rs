use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::skipped;

/// A running engine in a temporary folder, reached through a Unix socket in it, and gone when
/// dropped. What it has answered survives its crash.
#[derive(Debug)]
pub struct Engine {
    url: String,
    server: Command,
    probe: Command,
    clean: Signal,
    crash: Signal,
    process: Child,
    pub(super) folder: TempDir,
}

/// How an engine ends.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Stop {
    /// As it is told to in everyday life.
    Clean,
    /// In the middle of whatever it does.
    Crash,
}

impl Engine {
    /// A Redis with an append-only file that is on the disk before it answers. `None` if
    /// there is no `redis-server`, which is [`skipped`].
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn redis() -> Option<Self> {
        Self::redis_with([])
    }

    /// The same with further options, such as `--rename-command EVAL ""`, which win.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn redis_with<'a>(options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let folder = new_folder();
        let socket = folder.path().join("redis.sock");
        let mut server = Command::new("redis-server");
        server.args(["--port", "0", "--unixsocket"]).arg(&socket).args(["--save", ""]);
        server.args(["--appendonly", "yes", "--appendfsync", "always"]).current_dir(&folder);
        server.args(options);
        let mut probe = Command::new("redis-cli");
        probe.arg("-e").arg("-s").arg(&socket).arg("ping");
        let url = format!("redis+unix://{}", socket.display());
        Self::start(url, server, probe, [Signal::TERM, Signal::KILL], folder)
    }

    pub(super) fn start(
        url: String,
        mut server: Command,
        mut probe: Command,
        [clean, crash]: [Signal; 2],
        folder: TempDir,
    ) -> Option<Self> {
        let log = open_log(&folder);
        server.stdout(log.try_clone().expect("it is open")).stderr(log);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        let process = match server.spawn() {
            Ok(process) => process,
            Err(error) => return absent("redis-server", &error),
        };
        let mut engine = Self { url, server, probe, clean, crash, process, folder };
        engine.until_ready();
        Some(engine)
    }

    /// Where it is reached, also after it was stopped and started.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, and returns once it has ended.
    ///
    /// # Panics
    ///
    /// If it ended by itself.
    pub fn stop(&mut self, stop: Stop) {
        let signal = match stop {
            Stop::Clean => self.clean,
            Stop::Crash => self.crash,
        };
        kill_process(Pid::from_child(&self.process), signal).expect("it is running");
        self.process.wait().expect("it is ours");
    }

    /// Starts it again where it was, and returns once it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.process = self.server.spawn().expect("it started before");
        self.until_ready();
    }

    fn until_ready(&mut self) {
        let start = Instant::now();
        while !self.probe.status().expect("it comes with the engine").success() {
            let ended = self.process.try_wait().expect("it is ours");
            if ended.is_some() || start.elapsed() > Duration::from_secs(60) {
                panic!("{:?} does not start: {}", self.server, log_of(&self.folder));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.stop(Stop::Crash);
        }
    }
}

pub(super) fn new_folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}

pub(super) fn open_log(folder: &TempDir) -> File {
    File::create(log(folder)).expect("there is room for a file")
}

pub(super) fn log_of(folder: &TempDir) -> String {
    fs::read_to_string(log(folder)).unwrap_or_default()
}

pub(super) fn absent<T>(program: &'static str, error: &io::Error) -> Option<T> {
    assert!(error.kind() == io::ErrorKind::NotFound, "{program} does not start: {error}");
    skipped(program, "is not installed");
    None
}
