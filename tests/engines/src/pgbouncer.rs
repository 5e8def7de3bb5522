use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    Upstream,
    owner::folder_of,
    postgres::{PORT, USER, become_owner},
    server::{absent, log_of, open_log},
};

/// A running PgBouncer 1.18 or later in a temporary folder, in front of a PostgreSQL. It listens on a Unix
/// socket. Dropping it ends PgBouncer.
///
/// Any user can connect to any database, as with PostgreSQL's `trust` authentication. Each database has
/// two server connections, so that clients share them.
#[derive(Debug)]
pub struct PgBouncer {
    process: Child,
    folder: TempDir,
}

impl PgBouncer {
    /// Starts a pooler that assigns a server connection to a client for a transaction. Returns `None` and
    /// reports the tests as [`skipped`](bondify_testkit::skipped) if PgBouncer is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if it is not installed and `CI` is set.
    #[must_use]
    pub fn transaction_mode(postgres: &Upstream) -> Option<Self> {
        Self::start(postgres, "transaction")
    }

    /// Starts a pooler that assigns a server connection to a client for a statement, and refuses
    /// transactions of several statements. Returns `None` and reports the tests as
    /// [`skipped`](bondify_testkit::skipped) if PgBouncer is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if it is not installed and `CI` is set.
    #[must_use]
    pub fn statement_mode(postgres: &Upstream) -> Option<Self> {
        Self::start(postgres, "statement")
    }

    fn start(postgres: &Upstream, mode: &str) -> Option<Self> {
        let folder = folder_of(USER);
        let (host, port) = match postgres {
            Upstream::Tcp(address) => (address.ip().to_string(), address.port()),
            Upstream::Unix(socket) => {
                let folder = socket.parent().expect("a socket is in a folder");
                (folder.display().to_string(), PORT)
            }
        };
        let settings = format!(
            "[databases]\n\
             * = host={host} port={port} user=postgres\n\
             [pgbouncer]\n\
             listen_port = {PORT}\n\
             unix_socket_dir = {}\n\
             auth_type = any\n\
             pool_mode = {mode}\n\
             default_pool_size = 2\n\
             server_idle_timeout = 2\n\
             server_login_retry = 1\n\
             ignore_startup_parameters = extra_float_digits\n",
            folder.path().display(),
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("the file can be written");

        // On Debian it is in a folder that is only in root's `PATH`.
        let debian = Path::new("/usr/sbin/pgbouncer");
        let program = if debian.exists() { debian } else { Path::new("pgbouncer") };
        let mut server = Command::new(program);
        server.arg("-q").arg(&file).current_dir(&folder);
        become_owner(&mut server);
        let log = open_log(&folder);
        server
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file is open"))
            .stderr(log);
        let process = match server.spawn() {
            Ok(process) => process,
            Err(error) => return absent("pgbouncer", &error),
        };
        let mut pooler = Self { process, folder };
        pooler.until_ready();
        Some(pooler)
    }

    /// Returns the URL of a database behind the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@localhost:{PORT}/{database}?host={folder}")
    }

    fn until_ready(&mut self) {
        let start = Instant::now();
        let socket = self.folder.path().join(format!(".s.PGSQL.{PORT}"));
        while UnixStream::connect(&socket).is_err() {
            let ended = self.process.try_wait().expect("the process is our child");
            if ended.is_some() || start.elapsed() > Duration::from_secs(60) {
                panic!("PgBouncer does not start: {}", log_of(&self.folder));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // SIGTERM ends it at once, even with connected clients.
            kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
            self.process.wait().ok();
        }
    }
}
