//! The users that engines run as, because engines refuse to run as root.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    process::Command,
    str,
};

use rustix::process::geteuid;
use tempfile::TempDir;

use super::server::new_folder;

/// A new folder that `user` owns, if this process runs as root.
pub(super) fn folder_of(user: &str) -> TempDir {
    let folder = new_folder();
    if let Some((user, group)) = ids(user) {
        chown(&folder, Some(user), Some(group)).expect("root can change owners");
    }
    folder
}

/// Makes a command run as `user`, if this process runs as root.
pub(super) fn become_user(user: &str, command: &mut Command) {
    if let Some((user, group)) = ids(user) {
        command.uid(user).gid(group);
    }
}

fn ids(user: &str) -> Option<(u32, u32)> {
    let id = |which| {
        let output = Command::new("id").args([which, user]).output().ok()?;
        str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
    };
    geteuid().is_root().then(|| id("-u").zip(id("-g")))?
}
