use std::{
    fs, io,
    net::TcpListener,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{Engine, server::new_folder};

/// A Redis and its replica.
#[derive(Debug)]
pub struct RedisPair {
    /// The primary, until a failover.
    pub primary: Engine,
    /// The replica, which answers writes with `READONLY` until a failover.
    pub replica: Engine,
    ports: [u16; 2],
}

impl RedisPair {
    /// Starts both, and returns when they are in sync. Returns `None` and reports the tests as
    /// [`skipped`](crate::skipped) if there is no `redis-server`.
    ///
    /// # Panics
    ///
    /// If one does not start, if they are not in sync within a minute, and if there is no `redis-server`
    /// and `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        let ports = [free_port(), free_port()];
        let [port, replica_port] = ports.map(|port| port.to_string());
        let listen = |port| ["--bind", "127.0.0.1", "--port", port];
        let sync = ["--repl-diskless-sync-delay", "0"];
        let replicate = ["--replicaof", "127.0.0.1", &port];
        let primary = Engine::redis_with(listen(&port).into_iter().chain(sync))?;
        let replica = Engine::redis_with(listen(&replica_port).into_iter().chain(replicate))?;
        let pair = Self { primary, replica, ports };
        let [primary, replica] = ports;
        until(replica, "INFO replication", "master_link_status:up");
        until(primary, "INFO replication", "state=online");
        Some(pair)
    }

    /// Demotes the primary and promotes the replica, with `FAILOVER`: no write is lost, and both keep
    /// their open connections. Returns when the replica is a primary.
    ///
    /// # Panics
    ///
    /// If that takes more than a minute.
    pub fn fail_over(&self) {
        let [port, replica_port] = self.ports;
        let to = ["TO", "127.0.0.1", &replica_port.to_string()];
        let answer = tell(port, ["FAILOVER"].into_iter().chain(to));
        assert_eq!(answer.trim(), "OK", "the replica is in sync");
        self.until_promoted();
    }

    /// Pauses all writes on the primary for a minute, and returns when the replica has all earlier
    /// writes. The primary can then be stopped without the loss of an acknowledged write.
    ///
    /// # Panics
    ///
    /// If that takes more than a minute.
    pub fn hold_writes(&self) {
        let [port, replica] = self.ports;
        tell(port, ["CLIENT", "PAUSE", "60000", "WRITE"]);
        let offset = replicated(port, "master_repl_offset:");
        let start = Instant::now();
        while replicated(replica, "slave_repl_offset:") < offset {
            assert!(start.elapsed() < Duration::from_secs(60), "the replica is not in sync");
            sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the replica is a primary.
    ///
    /// # Panics
    ///
    /// If that takes more than a minute.
    pub fn until_promoted(&self) {
        let [_, replica] = self.ports;
        until(replica, "ROLE", "master\n");
    }

    /// Starts a Sentinel that knows the pair as `name`, and promotes the replica when the primary has been
    /// silent for a second.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn sentinel(&self, name: &str) -> Option<Engine> {
        let (folder, port) = (new_folder(), free_port());
        let [primary, _] = self.ports;
        let file = folder.path().join("sentinel.conf");
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\n\
             sentinel monitor {name} 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds {name} 1000\n\
             sentinel failover-timeout {name} 5000\n"
        );
        fs::write(&file, configuration).expect("the file can be written");
        let mut server = Command::new("redis-server");
        server.arg(&file).arg("--sentinel").current_dir(&folder);
        // A Sentinel must know the replica before it can promote it.
        let mut probe = Command::new("sh");
        let ask = format!("redis-cli -e -p {port} sentinel replicas {name} | grep -q .");
        probe.args(["-c", &ask]);
        let url = format!("redis://127.0.0.1:{port}");
        Engine::start(url, server, probe, [Signal::TERM, Signal::KILL], folder)
    }
}

/// The number of bytes that were sent to the replica or received by it.
fn replicated(port: u16, field: &str) -> u64 {
    let told = tell(port, ["INFO", "replication"]);
    let bytes = told.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok());
    bytes.expect("Redis counts what it replicates")
}

fn until(port: u16, ask: &str, wanted: &str) {
    let start = Instant::now();
    while !tell(port, ask.split(' ')).contains(wanted) {
        assert!(start.elapsed() < Duration::from_secs(60), "{ask} is never answered with {wanted}");
        sleep(Duration::from_millis(10));
    }
}

fn tell<'a>(port: u16, command: impl IntoIterator<Item = &'a str>) -> String {
    let mut redis_cli = Command::new("redis-cli");
    redis_cli.args(["-p", &port.to_string()]).args(command);
    let output = redis_cli.output().expect("the engine's tools are installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn free_port() -> u16 {
    let port = || -> io::Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
    port().expect("there is a free port")
}
