use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Engine, Upstream,
    owner::{become_user, own_as},
    server::{absent, new_folder},
};

/// The port that names PostgreSQL's sockets. No engine here listens on TCP.
pub(super) const PORT: u16 = 5432;

/// Methods of PostgreSQL only.
impl Engine {
    /// A PostgreSQL with the superuser `postgres`. `None` if it is not installed, which is
    /// [`skipped`](crate::skipped).
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        let folder = new_folder();
        own(&folder);
        let mut initdb = command("initdb", &folder);
        // What is not on the disk now, a start after a crash would have to wait for.
        initdb.args(["-D", "data", "-U", "postgres", "-A", "trust"]);
        match initdb.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => return absent("initdb", &error),
        }
        Self::start_postgres(folder)
    }

    /// Another PostgreSQL that streams from this one and is read-only until it is
    /// [promoted](Self::promote).
    ///
    /// # Panics
    ///
    /// If this is no PostgreSQL, or the other does not start.
    #[must_use]
    pub fn replica(&self) -> Self {
        let folder = new_folder();
        own(&folder);
        let mut backup = command("pg_basebackup", &folder);
        backup.args(["-D", "data", "-U", "postgres", "--write-recovery-conf"]);
        backup.args(["--checkpoint", "fast", "-h"]).arg(self.folder.path());
        let output = backup.output().expect("it comes with the engine");
        assert!(output.status.success(), "{output:?}");
        Self::start_postgres(folder).expect("it is installed")
    }

    /// Makes a replica an engine of its own, which takes writes. Returns once it does.
    ///
    /// # Panics
    ///
    /// If this is no replica of a PostgreSQL.
    pub fn promote(&self) {
        let output = command("pg_ctl", &self.folder).args(["-D", "data", "promote"]).output();
        let output = output.expect("it comes with the engine");
        assert!(output.status.success(), "{output:?}");
    }

    /// The socket of a PostgreSQL.
    #[must_use]
    pub fn postgres_socket(&self) -> Upstream {
        Upstream::Unix(self.folder.path().join(format!(".s.PGSQL.{PORT}")))
    }

    fn start_postgres(folder: TempDir) -> Option<Self> {
        let mut server = command("postgres", &folder);
        server.args(["-D", "data", "-c", "listen_addresses=", "-k"]).arg(folder.path());
        let mut probe = command("pg_isready", &folder);
        probe.arg("-q").arg("-h").arg(folder.path());
        let url =
            format!("postgres://postgres@localhost/postgres?host={}", folder.path().display());
        Self::start(url, server, probe, [Signal::INT, Signal::QUIT], folder)
    }
}

/// One of PostgreSQL's programs, in a folder that it owns.
fn command(program: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(programs().join(program));
    become_owner(&mut command);
    command.current_dir(folder);
    command
}

/// Where Debian has PostgreSQL's programs, the newest; elsewhere they are in the `PATH`.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|version| version.path()).max_by_key(|path| number(path));
    newest.map(|path| path.join("bin")).unwrap_or_default()
}

/// Gives a folder to the user that PostgreSQL and PgBouncer run as.
pub(super) fn own(folder: &TempDir) {
    own_as("postgres", folder);
}

/// Runs a program as that user.
pub(super) fn become_owner(command: &mut Command) {
    become_user("postgres", command);
}
