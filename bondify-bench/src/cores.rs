//! Who runs where: servers and engines on one core, what puts load on them on another.

use std::{
    io,
    process::{Child, Command},
};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

const SERVERS: usize = 0;
const LOAD: usize = 1;

/// Has this thread, and those it starts, run where no server does.
pub(crate) fn stay_off_the_servers() -> io::Result<()> {
    pin(LOAD)
}

/// Starts a process on the servers' core. It inherits where this thread runs.
pub(crate) fn spawn_server(command: &mut Command) -> io::Result<Child> {
    pin(SERVERS)?;
    let child = command.spawn();
    pin(LOAD)?;
    child
}

fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None::<Pid>, &cores)?)
}
