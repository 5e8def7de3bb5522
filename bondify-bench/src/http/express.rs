use std::{
    fs, io,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::process::Server;
use crate::events::SECRET;

const EXPRESS: &str = "express@5";

/// An Express server that works like the official SDK's handler. Express is installed into a temporary
/// folder.
pub(super) struct Express {
    pub(super) server: Server,
    _folder: TempDir,
}

pub(super) fn start() -> io::Result<Express> {
    let folder = tempfile::tempdir()?;
    let installed = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", EXPRESS])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()?;
    if !installed.success() {
        return Err(io::Error::other("npm cannot install Express"));
    }
    fs::write(folder.path().join("server.js"), include_str!("express.js"))?;
    let mut node = Command::new("node");
    node.args(["server.js", SECRET]).current_dir(&folder).env("NODE_ENV", "production");
    Ok(Express { server: Server::start(&mut node)?, _folder: folder })
}
