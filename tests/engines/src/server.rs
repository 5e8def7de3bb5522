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

use bondify_testkit::skipped;

/// A running engine in a temporary folder. It listens on a Unix socket there, and dropping the value ends
/// it. Acknowledged writes survive its crash.
///
/// ```no_run
/// use test_engines::{Engine, Stop};
///
/// if let Some(mut redis) = Engine::redis() {
///     println!("connect to {}", redis.url());
///     redis.stop(Stop::Crash);
///     redis.start_again();
/// }
/// ```
#[derive(Debug)]
pub struct Engine {
    pub(super) url: String,
    server: Command,
    probe: Command,
    clean: Signal,
    crash: Signal,
    process: Child,
    pub(super) folder: TempDir,
}

/// The way in which an engine is stopped.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Stop {
    /// A normal shutdown.
    Clean,
    /// A crash.
    Crash,
}

impl Engine {
    /// Starts a Redis whose append-only file is on the disk before it answers. Returns `None` and reports
    /// the tests as [`skipped`] if there is no `redis-server`.
    ///
    /// # Panics
    ///
    /// If it does not start, and if there is no `redis-server` and `CI` is set.
    #[must_use]
    pub fn redis() -> Option<Self> {
        Self::redis_with([])
    }

    /// Starts a Redis like [`redis`](Self::redis), with more options, such as `--rename-command EVAL ""`,
    /// which override the others.
    ///
    /// # Panics
    ///
    /// As for [`redis`](Self::redis).
    #[must_use]
    pub fn redis_with<'a>(options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        Self::start_redis(new_folder(), options)
    }

    pub(super) fn start_redis<'a>(
        folder: TempDir,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
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
        server.stdout(log.try_clone().expect("the log file is open")).stderr(log);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        let process = match server.spawn() {
            Ok(process) => process,
            Err(error) => return absent("redis-server", &error),
        };
        let mut engine = Self { url, server, probe, clean, crash, process, folder };
        engine.until_ready();
        Some(engine)
    }

    /// Returns its URL, which stays the same when it is stopped and started again.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it, and returns when it has ended.
    ///
    /// # Panics
    ///
    /// If it has ended before.
    pub fn stop(&mut self, stop: Stop) {
        let signal = match stop {
            Stop::Clean => self.clean,
            Stop::Crash => self.crash,
        };
        self.signal(signal);
        self.process.wait().expect("the process is our child");
    }

    /// Starts it again with its data, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.process = self.server.spawn().expect("the engine starts again");
        self.until_ready();
    }

    /// Freezes it: it keeps its connections and answers nobody, until it is [thawed](Self::thaw).
    ///
    /// # Panics
    ///
    /// If it has ended before.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after a [`freeze`](Self::freeze).
    ///
    /// # Panics
    ///
    /// If it has ended before.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the engine is running");
    }

    fn until_ready(&mut self) {
        let start = Instant::now();
        while !self.probe.status().expect("the engine's tools are installed").success() {
            let ended = self.process.try_wait().expect("the process is our child");
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
    tempfile::tempdir().expect("a temporary folder can be created")
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}

pub(super) fn open_log(folder: &TempDir) -> File {
    File::create(log(folder)).expect("the file can be written")
}

pub(super) fn log_of(folder: &TempDir) -> String {
    fs::read_to_string(log(folder)).unwrap_or_default()
}

pub(super) fn absent<T>(program: &'static str, error: &io::Error) -> Option<T> {
    assert!(error.kind() == io::ErrorKind::NotFound, "{program} does not start: {error}");
    skipped(program, "is not installed");
    None
}
