use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Engine, Upstream,
    owner::{become_user, folder_of},
    server::absent,
};

/// The user that Debian's PostgreSQL and PgBouncer run as.
pub(super) const USER: &str = "postgres";

/// The port in the names of PostgreSQL's sockets.
pub(super) const PORT: u16 = 5432;

/// Methods for PostgreSQL.
impl Engine {
    /// Starts a PostgreSQL with the superuser `postgres`. Returns `None` and reports the tests as
    /// [`skipped`](bondify_testkit::skipped) if PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if it is not installed and `CI` is set.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        Self::postgres_in(folder_of(USER), [])
    }

    pub(super) fn postgres_in<'a>(
        folder: TempDir,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut initdb = command("initdb", &folder);
        // Without `--no-sync`: a start after a crash would have to write the files to the disk first.
        initdb.args(["-D", "data", "-U", "postgres", "-A", "trust"]);
        match initdb.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => return absent("initdb", &error),
        }
        Self::start_postgres(folder, options)
    }

    /// Starts another PostgreSQL that replicates this one and is read-only until it is
    /// [promoted](Self::promote).
    ///
    /// # Panics
    ///
    /// If this is not a PostgreSQL, and if the replica does not start.
    #[must_use]
    pub fn replica(&self) -> Self {
        let folder = folder_of(USER);
        let mut backup = command("pg_basebackup", &folder);
        backup.args(["-D", "data", "-U", "postgres", "--write-recovery-conf"]);
        backup.args(["--checkpoint", "fast", "-h"]).arg(self.folder.path());
        let output = backup.output().expect("the engine's tools are installed");
        assert!(output.status.success(), "{output:?}");
        Self::start_postgres(folder, []).expect("the engine is installed")
    }

    /// Promotes a replica, and returns when it accepts writes.
    ///
    /// # Panics
    ///
    /// If this is not a replica of a PostgreSQL.
    pub fn promote(&self) {
        let output = command("pg_ctl", &self.folder).args(["-D", "data", "promote"]).output();
        let output = output.expect("the engine's tools are installed");
        assert!(output.status.success(), "{output:?}");
    }

    /// Returns the socket of a PostgreSQL.
    #[must_use]
    pub fn postgres_socket(&self) -> Upstream {
        Upstream::Unix(self.folder.path().join(format!(".s.PGSQL.{PORT}")))
    }

    fn start_postgres<'a>(
        folder: TempDir,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut server = command("postgres", &folder);
        server.args(["-D", "data", "-c", "listen_addresses=", "-k"]).arg(folder.path());
        server.args(options);
        let mut probe = command("pg_isready", &folder);
        probe.arg("-q").arg("-h").arg(folder.path());
        let url =
            format!("postgres://postgres@localhost/postgres?host={}", folder.path().display());
        Self::start(url, server, probe, [Signal::INT, Signal::QUIT], folder)
    }
}

/// A command of PostgreSQL, to run in a folder that its user owns.
fn command(program: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(programs().join(program));
    become_owner(&mut command);
    command.current_dir(folder);
    command
}

/// The folder of the newest PostgreSQL on Debian. Elsewhere it is empty, because the programs are in the
/// `PATH`.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|version| version.path()).max_by_key(|path| number(path));
    newest.map(|path| path.join("bin")).unwrap_or_default()
}

/// Makes a command run as the user that PostgreSQL and PgBouncer run as.
pub(super) fn become_owner(command: &mut Command) {
    become_user(USER, command);
}
