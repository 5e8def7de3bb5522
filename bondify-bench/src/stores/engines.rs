use std::{
    env,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::cores::spawn_server;

/// The URLs of a Redis, a PostgreSQL and a MariaDB: those of the tests' environment variables, or private
/// engines that run until this is dropped.
pub(super) struct Engines {
    pub(super) redis: String,
    pub(super) postgres: String,
    pub(super) mariadb: String,
    private: Option<Child>,
}

/// Ends when its standard input is closed.
const SCRIPT: &str = r#"
    . scripts/engines
    start_engines >&2
    echo "$BONDIFY_TEST_REDIS_URL"
    echo "$BONDIFY_TEST_POSTGRES_URL"
    echo "$BONDIFY_TEST_MYSQL_URL"
    cat >&2
"#;

impl Engines {
    pub(super) fn start() -> io::Result<Self> {
        let given = ["REDIS", "POSTGRES", "MYSQL"]
            .map(|engine| env::var(format!("BONDIFY_TEST_{engine}_URL")));
        if let [Ok(redis), Ok(postgres), Ok(mariadb)] = given {
            return Ok(Self { redis, postgres, mariadb, private: None });
        }
        let mut shell = spawn_server(
            Command::new("bash")
                .args(["-euo", "pipefail", "-c", SCRIPT])
                .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let output = shell.stdout.take();
        let mut urls = output.into_iter().flat_map(|output| BufReader::new(output).lines());
        let mut url = || urls.next().unwrap_or(Err(io::Error::other("scripts/engines failed")));
        Ok(Self { redis: url()?, postgres: url()?, mariadb: url()?, private: Some(shell) })
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.private {
            drop(shell.stdin.take());
            let _ended = shell.wait();
        }
    }
}
