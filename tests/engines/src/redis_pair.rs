use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
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
    addresses: [SocketAddr; 2],
}

impl RedisPair {
    /// Starts both, and returns when they are in sync. Returns `None` and reports the tests as
    /// [`skipped`](bondify_testkit::skipped) if there is no `redis-server`.
    ///
    /// # Panics
    ///
    /// If one does not start, if they are not in sync within a minute, and if there is no `redis-server`
    /// and `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        let addresses = [own_address(), own_address()];
        let [at, replica_at] = addresses.map(host_and_port);
        let sync = ["--repl-diskless-sync-delay", "0"];
        let replicate = ["--replicaof", &at[0], &at[1]];
        let primary = Engine::redis_with(listen(&at).into_iter().chain(sync))?;
        let replica = Engine::redis_with(listen(&replica_at).into_iter().chain(replicate))?;
        let pair = Self { primary, replica, addresses };
        let [primary, replica] = addresses;
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
        let [primary, replica] = self.addresses;
        let [host, port] = host_and_port(replica);
        let answer = tell(primary, ["FAILOVER", "TO", &host, &port]);
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
        let [primary, replica] = self.addresses;
        tell(primary, ["CLIENT", "PAUSE", "60000", "WRITE"]);
        let offset = replicated(primary, "master_repl_offset:");
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
        let [_, replica] = self.addresses;
        until(replica, "ROLE", "master\n");
    }

    /// Waits until the old primary is a replica. A Sentinel has then closed its connections.
    ///
    /// # Panics
    ///
    /// If that takes more than a minute.
    pub fn until_demoted(&self) {
        let [primary, _] = self.addresses;
        until(primary, "ROLE", "slave\n");
    }

    /// Starts a Sentinel that knows the pair as `name`, and promotes the replica when the primary has been
    /// silent for a second.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn sentinel(&self, name: &str) -> Option<Engine> {
        let (folder, address) = (new_folder(), own_address());
        let [host, port] = host_and_port(address);
        let [primary, primary_port] = host_and_port(self.addresses[0]);
        let file = folder.path().join("sentinel.conf");
        let configuration = format!(
            "port {port}\nbind {host}\n\
             sentinel monitor {name} {primary} {primary_port} 1\n\
             sentinel down-after-milliseconds {name} 1000\n\
             sentinel failover-timeout {name} 5000\n"
        );
        fs::write(&file, configuration).expect("the file can be written");
        let mut server = Command::new("redis-server");
        server.arg(&file).arg("--sentinel").current_dir(&folder);
        // A Sentinel must know the replica before it can promote it.
        let mut probe = Command::new("sh");
        let ask = format!("redis-cli -e -h {host} -p {port} sentinel replicas {name} | grep -q .");
        probe.args(["-c", &ask]);
        let url = format!("redis://{address}");
        Engine::start(url, server, probe, [Signal::TERM, Signal::KILL], folder)
    }
}

/// The number of bytes that were sent to the replica or received by it.
fn replicated(address: SocketAddr, field: &str) -> u64 {
    let told = tell(address, ["INFO", "replication"]);
    let bytes = told.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok());
    bytes.expect("Redis counts what it replicates")
}

fn until(address: SocketAddr, ask: &str, wanted: &str) {
    let start = Instant::now();
    while !tell(address, ask.split(' ')).contains(wanted) {
        assert!(start.elapsed() < Duration::from_secs(60), "{ask} is never answered with {wanted}");
        sleep(Duration::from_millis(10));
    }
}

fn tell<'a>(address: SocketAddr, command: impl IntoIterator<Item = &'a str>) -> String {
    let [host, port] = host_and_port(address);
    let mut redis_cli = Command::new("redis-cli");
    redis_cli.args(["-h", &host, "-p", &port]).args(command);
    let output = redis_cli.output().expect("the engine's tools are installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The options of a Redis at this host and port.
fn listen([host, port]: &[String; 2]) -> [&str; 6] {
    ["--bind", host, "--port", port, "--replica-announce-ip", host]
}

pub(super) fn host_and_port(address: SocketAddr) -> [String; 2] {
    [address.ip().to_string(), address.port().to_string()]
}

/// An address of this machine for an engine. Linux accepts all of 127.0.0.0/8, so that nobody else takes it
/// before the engine listens; elsewhere it is a free port.
pub(super) fn own_address() -> SocketAddr {
    if cfg!(target_os = "linux") {
        let [a, b, c, ..] = RandomState::new().hash_one(()).to_be_bytes();
        return (Ipv4Addr::new(127, a, b, c.clamp(2, 254)), 6379).into();
    }
    let free = || -> io::Result<_> { TcpListener::bind("127.0.0.1:0")?.local_addr() };
    free().expect("there is a free port")
}
