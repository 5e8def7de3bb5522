use std::{net::SocketAddr, ops::RangeInclusive, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use crate::ledger::{Entry, Ledger};

/// The receivers, each a process. Dropping the fleet kills them.
pub(crate) struct Fleet {
    program: String,
    arguments: Vec<String>,
    ledger: Ledger,
    processes: Vec<Child>,
    instances: watch::Sender<Vec<Instance>>,
    started: usize,
}

/// A running receiver and its address.
#[derive(Clone, Copy)]
pub(crate) struct Instance {
    /// The number of the process; a replacement gets the next free one.
    pub(crate) process: usize,
    pub(crate) address: SocketAddr,
}

impl Fleet {
    pub(crate) async fn start(
        program: &str,
        arguments: Vec<String>,
        ledger: Ledger,
        size: usize,
    ) -> Self {
        Self::start_from(0, program, arguments, ledger, size).await
    }

    /// Starts receivers whose numbers begin at `first`.
    pub(crate) async fn start_from(
        first: usize,
        program: &str,
        arguments: Vec<String>,
        ledger: Ledger,
        size: usize,
    ) -> Self {
        let mut fleet = Self {
            program: program.to_owned(),
            arguments,
            ledger,
            processes: Vec::new(),
            instances: watch::Sender::default(),
            started: first,
        };
        for _ in 0..size {
            let (process, instance) = fleet.spawn().await;
            fleet.processes.push(process);
            fleet.instances.send_modify(|instances| instances.push(instance));
        }
        fleet
    }

    /// The receivers that were started last, running or killed.
    pub(crate) fn instances(&self) -> watch::Receiver<Vec<Instance>> {
        self.instances.subscribe()
    }

    /// Kills these receivers and starts replacements. Returns once they listen.
    pub(crate) async fn crash(&mut self, receivers: RangeInclusive<usize>) {
        self.kill(receivers.clone()).await;
        self.replace(receivers).await;
    }

    pub(crate) async fn kill(&mut self, receivers: RangeInclusive<usize>) {
        for receiver in receivers {
            let Instance { process, .. } = self.instances.borrow()[receiver];
            self.ledger.note(Entry::Kill { process });
            self.processes[receiver].kill().await.expect("it is ours");
        }
    }

    /// Starts replacements for killed receivers. Returns once they listen.
    pub(crate) async fn replace(&mut self, receivers: RangeInclusive<usize>) {
        for receiver in receivers {
            let (process, instance) = self.spawn().await;
            self.processes[receiver] = process;
            self.instances.send_modify(|instances| instances[receiver] = instance);
        }
    }

    /// The id of a receiver's process.
    pub(crate) fn id(&self, receiver: usize) -> u32 {
        self.processes[receiver].id().expect("it runs")
    }

    pub(crate) fn address(&self, receiver: usize) -> SocketAddr {
        self.instances.borrow()[receiver].address
    }

    /// Waits until all have exited on their own.
    pub(crate) async fn ends(&mut self) {
        for process in &mut self.processes {
            // `wait` would close it, and the receiver would exit before its work is done.
            let _open = process.stdin.take();
            let status = process.wait().await.expect("it is ours");
            assert!(status.success(), "{status}");
        }
    }

    async fn spawn(&mut self) -> (Child, Instance) {
        let number = self.started;
        self.started += 1;
        let mut process = Command::new(&self.program)
            .arg(number.to_string())
            .args(&self.arguments)
            .stdin(Stdio::piped()) // closed when this process ends, which ends the receiver
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = timeout(Duration::from_secs(60), lines.next_line()).await;
        let line = line.expect("it listens within a minute").expect("it writes lines");
        let address = line.and_then(|line| line.parse().ok()).expect("it says where it listens");
        (process, Instance { process: number, address })
    }
}
