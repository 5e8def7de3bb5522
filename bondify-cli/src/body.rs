use std::{
    fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;

/// The option for a delivery's body.
#[derive(Args)]
pub(crate) struct BodyArgs {
    /// File that holds the body, byte for byte; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    body: PathBuf,
}

impl BodyArgs {
    pub(crate) fn read(&self) -> anyhow::Result<Vec<u8>> {
        read(&self.body)
    }
}

/// Reads the file at `path`, or standard input if that is `-`.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path)
            .with_context(|| format!("cannot read the body from {}", path.display()));
    }
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        let _ =
            writeln!(anstream::stderr(), "reading the body from the terminal: end it with Ctrl-D");
    }
    let mut body = Vec::new();
    stdin.read_to_end(&mut body).context("cannot read the body from standard input")?;
    Ok(body)
}
