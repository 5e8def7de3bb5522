use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{Change, random, state::State};

/// The state file. Each line is a change, appended as it happens, so that a crash of the process
/// loses nothing. The file is rewritten at the start, and when most of its lines are out of date:
/// atomically, or in place where the file cannot be replaced, such as one that is mounted alone
/// into a container.
///
/// The file has secrets and personal data, so only its owner may read it.
pub(crate) struct Journal {
    /// The file itself, symbolic links resolved.
    path: PathBuf,
    file: File,
    lines: usize,
    broken: bool,
}

impl Journal {
    /// The first line, with the version of the format.
    const HEADER: &[u8] = b"{\"bondify-emulator\":1}";

    /// The number of lines from which the file may be rewritten.
    const MIN_LINES_TO_REWRITE: usize = 10_000;

    /// Opens or creates the file, and restores its changes.
    pub(crate) fn open(path: &Path, state: &mut State) -> io::Result<Self> {
        let (path, file) = open(path)?;
        lock(&file)?;
        let mut written = Vec::new();
        (&file).read_to_end(&mut written)?;
        if !written.is_empty() {
            restore(&written, state)?;
        }
        make_private(&file)?;
        let mut journal = Self { path, file, lines: 0, broken: false };
        journal.rewrite(state)?;
        Ok(journal)
    }

    /// Appends changes. After a failure, the next call rewrites the file.
    pub(crate) fn append(&mut self, changes: &[Change], state: &State) -> io::Result<()> {
        let out_of_date = || {
            self.lines > Self::MIN_LINES_TO_REWRITE && self.lines > 4 * state.to_changes().count()
        };
        let written = if self.broken || out_of_date() {
            self.rewrite(state)
        } else {
            self.lines += changes.len();
            self.file.write_all(&to_lines(changes))
        };
        if let Err(error) = &written
            && !self.broken
        {
            tracing::error!(
                %error,
                "state file not written: until a later write succeeds, a restart loses changes"
            );
        }
        self.broken = written.is_err();
        written
    }

    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let changes: Vec<_> = state.to_changes().collect();
        let content = [Self::HEADER, b"\n", &*to_lines(&changes)].concat();
        match replace(&self.path, &content)? {
            Some(file) => self.file = file,
            None => overwrite(&self.file, &content)?,
        }
        self.lines = changes.len();
        Ok(())
    }
}

/// Opens a regular file, or creates it. Returns the path with symbolic links resolved, too.
fn open(path: &Path) -> io::Result<(PathBuf, File)> {
    match private().read(true).write(true).create_new(true).open(path) {
        Ok(file) => return Ok((fs::canonicalize(path)?, file)),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    let path = fs::canonicalize(path)?;
    // Opening a device or a pipe may have an effect, so it is not opened.
    if !fs::metadata(&path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::options().read(true).write(true).open(&path)?;
    Ok((path, file))
}

/// Replaces the file at `path` by a new one, which is complete before it is there. Returns `None`
/// if the folder does not allow that.
fn replace(path: &Path, content: &[u8]) -> io::Result<Option<File>> {
    let mut name = path.to_owned().into_os_string();
    name.push(random::id("."));
    let new = PathBuf::from(name);
    let mut file = match private().read(true).write(true).create_new(true).open(&new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error),
        Err(_) => return Ok(None),
    };
    let written = lock(&file).and_then(|()| file.write_all(content)).and_then(|()| file.sync_all());
    let replaced = written.is_ok() && fs::rename(&new, path).is_ok();
    if !replaced {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| replaced.then_some(file))
}

/// Writes a file in place. The part that needs room on the disk is written first, so that a full
/// disk leaves the old content.
fn overwrite(mut file: &File, content: &[u8]) -> io::Result<()> {
    let size = file.metadata()?.len();
    let (head, tail) = content.split_at(content.len().min(size.try_into().unwrap_or(usize::MAX)));
    file.seek(SeekFrom::Start(head.len() as u64))?;
    if let Err(error) = file.write_all(tail) {
        file.set_len(size)?;
        return Err(error);
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(head)?;
    file.set_len(content.len() as u64)?;
    file.seek(SeekFrom::End(0))?;
    file.sync_all()
}

fn restore(written: &[u8], state: &mut State) -> io::Result<()> {
    let mut lines = written.split_inclusive(|byte| *byte == b'\n').zip(1..);
    if lines.next().is_none_or(|(header, _)| header.trim_ascii_end() != Journal::HEADER) {
        return Err(io::Error::other("it is not a state file of this version"));
    }
    // A last line without a line end was cut off when the process was killed.
    for (line, number) in lines.filter(|(line, _)| line.ends_with(b"\n")) {
        let malformed = |_| io::Error::other(format!("line {number} is malformed"));
        state.restore(serde_json::from_slice(line).map_err(malformed)?);
    }
    Ok(())
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

/// Lets only the owner read the file.
#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another emulator uses the file"),
        TryLockError::Error(error) => error,
    })
}

fn to_lines(changes: &[Change]) -> Vec<u8> {
    let mut lines = String::new();
    for change in changes {
        let mut line = json!(change);
        if let Change::Project(project) = change {
            line["project"]["secret"] = json!(project.reveal_secret());
            line["project"]["secret_key"] = json!(project.reveal_secret_key());
        }
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{Persona, ProjectSettings, state::Rules};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn open(path: &Path) -> (State, io::Result<Journal>) {
        let mut state = State::new(Rules::default(), NOW);
        let journal = Journal::open(path, &mut state);
        (state, journal)
    }

    /// A state file with a project and a confirmed session.
    fn written(path: &Path) {
        let (mut state, journal) = open(path);
        let settings = ProjectSettings::new().id("shop").secret("whsec_shop");
        state.add_project(settings.webhook_url("http://localhost:3000/")).unwrap();
        let session = state.generate("shop").unwrap();
        state.confirm(&session.token, Persona::default()).unwrap();
        let changes = state.take_changes();
        journal.unwrap().append(&changes, &state).unwrap();
    }

    fn error(path: &Path) -> String {
        open(path).1.err().unwrap().to_string()
    }

    fn describe(state: &State) -> String {
        String::from_utf8(to_lines(&state.to_changes().collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn a_restart_restores_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        let (state, journal) = open(&path);
        drop(journal.unwrap());
        assert_eq!(state.project("shop").unwrap().reveal_secret(), "whsec_shop");
        let session = &state.sessions()[0];
        assert_eq!(session.confirmation().unwrap().persona, Persona::default());
        let delivery = state.deliveries().next().unwrap();
        assert!(delivery.body.contains(&session.token));
        assert_eq!(describe(&open(&path).0), describe(&state));
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        let whole = fs::read(&path).unwrap();
        let lines = whole.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, 5, "header, project, session twice, delivery");
        for cut in 1..40 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (state, journal) = open(&path);
            journal.unwrap();
            assert_eq!((state.sessions().len(), state.deliveries().count()), (1, 0));
        }
    }

    #[test]
    fn a_file_that_is_no_state_file_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["my notes", "{}\n", "{\"bondify-emulator\":2}\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(error(&path), "it is not a state file of this version");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "{\"bondify-emulator\":1}\nwhat\n").unwrap();
        assert_eq!(error(&path), "line 2 is malformed");
    }

    // The pages and the analytics could not show it.
    #[test]
    fn a_time_after_the_year_9999_is_malformed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        let whole = fs::read_to_string(&path).unwrap();
        for (time, is_malformed) in [("253402300799999", false), ("253402300800000", true)] {
            let changed = whole.replace("\"created_at\":0", &format!("\"created_at\":{time}"));
            fs::write(&path, changed).unwrap();
            let error = open(&path).1.err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), is_malformed.then_some("line 2 is malformed"), "{time}");
        }
    }

    #[test]
    fn a_second_emulator_cannot_use_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (state, journal) = open(&path);
        let mut journal = journal.unwrap();
        assert_eq!(error(&path), "another emulator uses the file");
        journal.rewrite(&state).unwrap();
        assert_eq!(error(&path), "another emulator uses the file");
        drop(journal);
        open(&path).1.unwrap();
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        assert_eq!(mode(&path), 0o600);
        let older = folder.path().join("older");
        fs::write(&older, "notes").unwrap();
        for path in [&path, &older] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        open(&path).1.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(open(&older).1.is_err());
        assert_eq!(mode(&older), 0o644, "a file of anything else is left alone");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_written_in_place_becomes_private_first() {
        use std::os::unix::fs::PermissionsExt;

        let file = tempfile::NamedTempFile::new().unwrap();
        for (before, after) in [(0o644, 0o600), (0o660, 0o600), (0o400, 0o400)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(before)).unwrap();
            make_private(file.as_file()).unwrap();
            assert_eq!(mode(file.path()), after, "{before:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_followed() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        written(&at("state"));
        symlink("state", at("link")).unwrap();
        symlink("nothing", at("broken")).unwrap();
        let (mut state, journal) = open(&at("link"));
        let mut journal = journal.unwrap();
        state.generate("shop").unwrap();
        journal.append(&state.take_changes(), &state).unwrap();
        journal.rewrite(&state).unwrap();
        drop(journal);
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(open(&at("state")).0.sessions().len(), 2);
        assert!(open(&at("broken")).1.is_err());
        assert!(!at("nothing").exists());
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 3, "no other file is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_and_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/null"), Path::new("/dev/full"), folder.path()] {
            assert_eq!(error(path), "it is not a regular file", "{}", path.display());
            assert!(path.exists());
        }
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "before").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        for content in ["longer than before", "short", "", "again"] {
            overwrite(&file, content.as_bytes()).unwrap();
            (&file).write_all(b"+").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{content}+"));
        }
    }

    #[test]
    fn outdated_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, journal) = open(&path);
        let mut journal = journal.unwrap();
        state.add_project(ProjectSettings::new().id("shop")).unwrap();
        for _ in 0..Journal::MIN_LINES_TO_REWRITE + 10 {
            state.rotate_secret("shop").unwrap();
            let changes = state.take_changes();
            journal.append(&changes, &state).unwrap();
        }
        let lines = fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count();
        assert!(lines < 20, "{lines}");
        let secret = state.project("shop").unwrap().reveal_secret().to_owned();
        drop(journal);
        assert_eq!(open(&path).0.project("shop").unwrap().reveal_secret(), secret);
    }
}
