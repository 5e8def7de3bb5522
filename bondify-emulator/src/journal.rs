use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{Change, state::State};

/// The state file: one change on each line, appended as it happens, so that a crash of the
/// process loses nothing. It is written anew, in one step, at the start and when most of it
/// is out of date.
///
/// It has the secrets and who logged in, so nobody but its owner may read it.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    broken: bool,
}

impl Journal {
    /// Out of how many lines it is written anew at the earliest.
    const LONG: usize = 10_000;

    /// Opens or creates the file, and restores what is in it.
    pub(crate) fn open(path: &Path, state: &mut State) -> Result<Self, JournalError> {
        let file = private().read(true).append(true).create(true).open(path)?;
        lock(&file)?;
        let mut written = Vec::new();
        (&file).read_to_end(&mut written)?;
        // A line without an end is what the process was writing when it was killed.
        let complete = written.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        for (line, number) in written[..complete].split(|byte| *byte == b'\n').zip(1..) {
            match serde_json::from_slice(line) {
                Ok(change) => state.restore(change),
                Err(_) if line.is_empty() => {}
                Err(_) => return Err(JournalError::Malformed { line: number }),
            }
        }
        let mut journal = Self { path: path.to_owned(), file, lines: 0, broken: false };
        journal.rewrite(state)?;
        Ok(journal)
    }

    /// Writes down what changed to `state`. A failure is logged; the emulator goes on.
    pub(crate) fn append(&mut self, changes: &[Change], state: &State) {
        if changes.is_empty() {
            return;
        }
        let written = if self.broken || self.lines > Self::LONG.max(4 * state.to_changes().count())
        {
            self.rewrite(state)
        } else {
            self.lines += changes.len();
            self.file.write_all(&to_lines(changes))
        };
        if let Err(error) = &written
            && !self.broken
        {
            tracing::error!(%error, "the state file cannot be written");
        }
        self.broken = written.is_err();
    }

    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let path = PathBuf::from(name);
        let file = private().write(true).create(true).truncate(true).open(&path)?;
        lock(&file)?;
        let changes: Vec<_> = state.to_changes().collect();
        (&file).write_all(&to_lines(&changes))?;
        file.sync_all()?;
        std::fs::rename(&path, &self.path)?;
        (self.file, self.lines) = (file, changes.len());
        Ok(())
    }
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} is not a line of a state file")]
    Malformed { line: usize },
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another emulator is using it"),
        TryLockError::Error(error) => error,
    })
}

fn to_lines(changes: &[Change]) -> Vec<u8> {
    let mut lines = String::new();
    for change in changes {
        let mut line = json!(change);
        if let Change::Project(project) = change {
            line["project"]["secret"] = json!(project.reveal_secret());
        }
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines.into_bytes()
}
