use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Engine, Upstream,
    owner::{become_user, own_as},
    server::{absent, new_folder},
};

/// The user that Debian's MariaDB runs as.
const USER: &str = "mysql";

/// Methods of MariaDB only.
impl Engine {
    /// A MariaDB with the superuser `root` and the database `test`. `None` if it is not installed,
    /// which is [`skipped`](crate::skipped).
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn mariadb() -> Option<Self> {
        let folder = new_folder();
        own_as(USER, &folder);
        let mut install = command("mariadb-install-db", &folder);
        install.arg("--auth-root-authentication-method=normal");
        match install.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => return absent("mariadb-install-db", &error),
        }
        let socket = folder.path().join("mariadb.sock");
        let mut server = command(program(), &folder);
        server.args(["--skip-networking", "--max-connections=300", "--socket"]).arg(&socket);
        let mut probe = Command::new("mariadb-admin");
        probe.args(["--no-defaults", "--user=root", "ping", "--socket"]).arg(&socket);
        let url = format!("mysql://root@localhost/test?socket={}", socket.display());
        Self::start(url, server, probe, [Signal::TERM, Signal::KILL], folder)
    }

    /// The socket of a MariaDB.
    #[must_use]
    pub fn mariadb_socket(&self) -> Upstream {
        Upstream::Unix(self.folder.path().join("mariadb.sock"))
    }
}

/// One of MariaDB's programs, in a folder that it owns.
fn command(program: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    become_user(USER, &mut command);
    // A server that starts clears its folder for temporary tables, of other servers as well.
    command.env("TMPDIR", folder.path());
    command.current_dir(folder).arg("--no-defaults");
    command.arg(format!("--datadir={}", folder.path().join("data").display()));
    command
}

/// Debian has it where the `PATH` of a user may not lead.
fn program() -> &'static str {
    let debians = "/usr/sbin/mariadbd";
    if std::path::Path::new(debians).exists() { debians } else { "mariadbd" }
}
