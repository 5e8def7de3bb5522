use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, ensure};

/// The maximum size of a file with a secret, a token or certificates.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a small file. A device without an end is refused like a file that is too large.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content));
    read.with_context(|| format!("cannot read {shown}"))?;
    ensure!(content.len() as u64 <= MAX_BYTES, "{shown} has more than 1 MiB");
    Ok(content)
}
