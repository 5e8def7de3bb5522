//! The engines to test against: one that is running, one of a test's own, or none.

use std::{
    io,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bondify_redis::redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use bondify_testkit::skipped;
use tempfile::TempDir;

/// The time-out where none is wanted, on machines so busy that Redis is not quick.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A connection that reconnects quickly, and leaves it to the store to time out early.
pub(crate) async fn connect(url: impl IntoConnectionInfo) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(PATIENT))
        .set_max_delay(Duration::from_millis(100))
        .set_number_of_retries(100);
    let client = Client::open(url).expect("the URL is one of Redis");
    client.get_connection_manager_with_config(config).await.expect("Redis is up")
}

/// Sends a command that only tests need.
pub(crate) async fn tell<T: FromRedisValue>(connection: &ConnectionManager, command: &str) -> T {
    let mut cmd = Cmd::new();
    cmd.arg(command.split(' ').collect::<Vec<_>>());
    cmd.query_async(&mut connection.clone()).await.expect("Redis does as told")
}

/// A Redis of a test's own, which remembers what it answered, even if it is killed.
pub(crate) struct Server {
    dir: TempDir,
    process: Child,
}

impl Server {
    /// `None` if there is no `redis-server` to start.
    pub(crate) fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("there is room for a directory");
        match Self::spawn(&dir) {
            Ok(process) => Some(Self { dir, process }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skipped("redis-server", "is not installed");
                None
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        }
    }

    fn spawn(dir: &TempDir) -> io::Result<Child> {
        Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .current_dir(dir)
            .stdout(Stdio::null())
            .spawn()
    }

    pub(crate) async fn connect(&self) -> ConnectionManager {
        let socket = self.dir.path().join("redis.sock");
        connect(format!("redis+unix://{}", socket.display())).await
    }

    /// Ends it the hard way.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.process = Self::spawn(&self.dir).expect("it started before");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
