use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

use super::Framework;

/// Where servers run, and where this process does.
const SERVERS: usize = 0;
const LOAD: usize = 1;

/// Has this thread, and those it starts, run where no server does.
pub(super) fn stay_off_the_servers() -> io::Result<()> {
    Ok(pin(LOAD)?)
}

fn pin(core: usize) -> rustix::io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None::<Pid>, &cores)
}

/// Starts a process on the servers' core. It inherits this thread's.
pub(crate) fn spawn_pinned(command: &mut Command) -> io::Result<Child> {
    pin(SERVERS)?;
    let child = command.spawn();
    pin(LOAD)?;
    child
}

/// A server process, killed when dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) fn of(framework: Framework) -> io::Result<Self> {
        Self::start(Command::new(env::current_exe()?).args(["--serve", framework.name()]))
    }

    /// Starts a process that prints its port once it listens.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut process = spawn_pinned(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut server = Self { process, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let port = line.trim().parse().map_err(|_| io::Error::other("the server did not start"))?;
        server.address.set_port(port);
        Ok(server)
    }

    /// What all its threads have had of their core so far.
    pub(super) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let nanoseconds = tasks.into_iter().flatten().flatten().map(|task| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
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
