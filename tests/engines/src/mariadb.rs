use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Engine, Upstream,
    owner::{become_user, folder_of},
    server::absent,
};

/// The user that Debian's MariaDB runs as.
pub(super) const USER: &str = "mysql";

/// Methods for MariaDB.
impl Engine {
    /// Starts a MariaDB with the superuser `root` and the database `test`. Returns `None` and reports the
    /// tests as [`skipped`](bondify_testkit::skipped) if MariaDB is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if it is not installed and `CI` is set.
    #[must_use]
    pub fn mariadb() -> Option<Self> {
        Self::mariadb_with([])
    }

    /// Starts a MariaDB like [`mariadb`](Self::mariadb), with more options, such as `--log-bin`.
    ///
    /// # Panics
    ///
    /// As for [`mariadb`](Self::mariadb).
    #[must_use]
    pub fn mariadb_with<'a>(options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        Self::mariadb_in(folder_of(USER), options)
    }

    pub(super) fn mariadb_in<'a>(
        folder: TempDir,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut install = command("mariadb-install-db", &folder);
        install.arg("--auth-root-authentication-method=normal");
        match install.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => return absent("mariadb-install-db", &error),
        }
        let socket = folder.path().join("mariadb.sock");
        let mut server = command(program(), &folder);
        server.args(["--skip-networking", "--max-connections=300", "--socket"]).arg(&socket);
        server.args(options);
        let mut probe = Command::new("mariadb-admin");
        probe.args(["--no-defaults", "--user=root", "ping", "--socket"]).arg(&socket);
        let url = format!("mysql://root@localhost/test?socket={}", socket.display());
        Self::start(url, server, probe, [Signal::TERM, Signal::KILL], folder)
    }

    /// Returns the socket of a MariaDB.
    #[must_use]
    pub fn mariadb_socket(&self) -> Upstream {
        Upstream::Unix(self.folder.path().join("mariadb.sock"))
    }
}

/// A command of MariaDB, to run in a folder that its user owns.
fn command(program: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    become_user(USER, &mut command);
    // At its start a server clears the folder for temporary tables, also of other servers.
    command.env("TMPDIR", folder.path());
    command.current_dir(folder).arg("--no-defaults");
    command.arg(format!("--datadir={}", folder.path().join("data").display()));
    command
}

/// The server program. On Debian its folder may not be in the `PATH` of a user.
fn program() -> &'static str {
    let debians = "/usr/sbin/mariadbd";
    if std::path::Path::new(debians).exists() { debians } else { "mariadbd" }
}
