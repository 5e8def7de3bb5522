use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::server::{Framework, Handler};
use crate::cores::spawn_server;

/// A server process, killed when dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) fn of(framework: Framework, handler: Handler) -> io::Result<Self> {
        Self::of_program(&env::current_exe()?, framework, handler)
    }

    /// A server of another version of this program.
    pub(super) fn of_program(
        program: &Path,
        framework: Framework,
        handler: Handler,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        Self::start(command.args(["--serve", framework.name(), "--handler", handler.name()]))
    }

    /// Starts a process that prints its port once it listens.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let process = spawn_server(command.stdout(Stdio::piped()))?;
        let mut server = Self { process, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut line = String::new();
        if let Some(output) = server.process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let port = line.trim().parse().map_err(|_| io::Error::other("the server did not start"))?;
        server.address.set_port(port);
        Ok(server)
    }

    /// The CPU time of all threads so far.
    pub(super) fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let nanoseconds = threads.into_iter().flatten().flatten().map(|thread| {
            let schedstat = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            schedstat.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanoseconds.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
