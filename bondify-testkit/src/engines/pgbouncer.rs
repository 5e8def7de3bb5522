use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    Upstream,
    postgres::{PORT, become_owner, own},
    server::{absent, log_of, new_folder, open_log},
};

/// A running PgBouncer 1.18 or later in a temporary folder, in front of a PostgreSQL and
/// reached through a Unix socket. It ends when dropped.
///
/// Any user of PostgreSQL's `trust` authentication may connect to any database. Each database
/// has two server connections for all clients, so that clients really share them.
#[derive(Debug)]
pub struct PgBouncer {
    process: Child,
    folder: TempDir,
}

impl PgBouncer {
    /// A pooler that assigns a server connection for a transaction. `None` if PgBouncer is not
    /// installed, which is [`skipped`](crate::skipped).
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn transaction_mode(postgres: &Upstream) -> Option<Self> {
        Self::start(postgres, "transaction")
    }

    /// A pooler that assigns a server connection for a statement, and refuses transactions of
    /// several. `None` if PgBouncer is not installed, which is [`skipped`](crate::skipped).
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn statement_mode(postgres: &Upstream) -> Option<Self> {
        Self::start(postgres, "statement")
    }

    fn start(postgres: &Upstream, mode: &str) -> Option<Self> {
        let folder = new_folder();
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
        fs::write(&file, settings).expect("there is room for a file");

        // Debian has it where only root's `PATH` leads.
        let debian = Path::new("/usr/sbin/pgbouncer");
        let program = if debian.exists() { debian } else { Path::new("pgbouncer") };
        let mut server = Command::new(program);
        server.arg("-q").arg(&file).current_dir(&folder);
        own(&folder);
        become_owner(&mut server);
        let log = open_log(&folder);
        server.stdin(Stdio::null()).stdout(log.try_clone().expect("it is open")).stderr(log);
        let process = match server.spawn() {
            Ok(process) => process,
            Err(error) => return absent("pgbouncer", &error),
        };
        let mut pooler = Self { process, folder };
        pooler.until_ready();
        Some(pooler)
    }

    /// The URL of a database behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@localhost:{PORT}/{database}?host={folder}")
    }

    fn until_ready(&mut self) {
        let start = Instant::now();
        while !self.folder.path().join(format!(".s.PGSQL.{PORT}")).exists() {
            let ended = self.process.try_wait().expect("it is ours");
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
            // At once, whoever is connected.
            kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
            self.process.wait().ok();
        }
    }
}
