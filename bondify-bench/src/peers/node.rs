use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::events::{SECRET, signature};

/// A process that verifies and parses one delivery repeatedly, as the official SDK for
/// Node does.
pub(super) struct Node {
    pub(super) version: String,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    pub(super) fn start(body: &[u8]) -> io::Result<Self> {
        let mut process = Command::new("node")
            .args(["--eval", include_str!("verify.js"), "--", SECRET])
            .arg(String::from_utf8_lossy(body).as_ref())
            .arg(signature(body))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let answers = BufReader::new(answers);
        let mut node = Self { version: String::new(), process, requests, answers };
        node.version = node.answer()?;
        Ok(node)
    }

    /// The CPU time of so many calls.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub(super) fn verify(&mut self, calls: u64) -> Duration {
        writeln!(self.requests, "{calls}").expect("Node is running");
        let micros = self.answer().expect("Node is running");
        Duration::from_micros(micros.parse().expect("is a number"))
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("node ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
