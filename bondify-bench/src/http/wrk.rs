use std::{
    io::{self, Write},
    process::Command,
};

use tempfile::NamedTempFile;

use super::{load::Load, process::Server, server::PATH};
use crate::events::{USUAL_SIZE, body, signature};

/// A script with which wrk sends one signed event repeatedly.
pub(super) fn script() -> io::Result<NamedTempFile> {
    let body = body(USUAL_SIZE, 1);
    let mut file = NamedTempFile::new()?;
    writeln!(
        file,
        r#"wrk.method = "POST"
wrk.body = '{}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Bondify-Signature"] = "{}""#,
        String::from_utf8_lossy(&body),
        signature(&body),
    )?;
    Ok(file)
}

/// Requests per second to the bare handler.
pub(super) fn rate(load: &Load, server: &Server, script: &std::path::Path) -> io::Result<f64> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &load.connections.to_string()])
        .args(["--duration", &format!("{}s", load.length.as_secs().max(1))])
        .arg("--script")
        .arg(script)
        .arg(format!("http://{}{PATH}", server.address))
        .output()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let rate = output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).ok_or_else(|| io::Error::other("no rate"))
}
