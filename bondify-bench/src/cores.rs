//! CPU cores: servers and engines run on one core, the load generator on another.

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

/// Pins this thread, and the threads that it starts, to the core of the load generator.
pub(crate) fn pin_to_load_core() -> io::Result<()> {
    pin(LOAD)
}

/// Starts a process on the servers' core. A process inherits the core of its parent thread.
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
