//! What to do where this user may not read a file: who may, and the command that lets him.
//!
//! The files of an installation are for a group (the manual, "Rights"), so its name is all that a person needs.
//! Files are looked at by path, never opened.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The group's bits of a mode.
const READS: u32 = 0o040;
const ENTERS: u32 = 0o010;

/// What helps where a right is lacking to read the file, a companion of it, or to come to it; `None`
/// where none is, or nobody else has it either.
pub(in super::super) fn hint(path: &Path) -> Option<String> {
    let (lacking, bit) = first(path)?;
    let file = std::fs::metadata(&lacking).ok()?;
    Some(words(&lacking, bit, &file))
}

/// The first on the way that this user may not enter or read.
fn first(path: &Path) -> Option<(PathBuf, u32)> {
    let path = std::path::absolute(path).ok()?;
    let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
    folders.reverse();
    if let Some(folder) = folders
        .into_iter()
        .find(|folder| denies(folder, Access::EXEC_OK))
    {
        return Some((folder.to_owned(), ENTERS));
    }
    let real = std::fs::canonicalize(&path).ok()?;
    ["", "-wal", "-shm"].iter().find_map(|suffix| {
        let mut file = real.clone().into_os_string();
        file.push(suffix);
        let file = PathBuf::from(file);
        denies(&file, Access::READ_OK).then_some((file, READS))
    })
}

fn denies(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS) == Err(rustix::io::Errno::ACCESS)
}

fn words(path: &Path, bit: u32, file: &Metadata) -> String {
    let owner = User::from_uid(Uid::from_raw(file.uid())).ok().flatten();
    let owner = owner.map_or_else(|| format!("'#{}'", file.uid()), |user| user.name);
    let as_owner = format!("sudo -u {owner} webhooksd ...");
    // Who is in the group of root is much more than a reader.
    let group = Some(file.gid()).filter(|gid| *gid != 0 && file.mode() & bit != 0);
    let group = group.and_then(|gid| Group::from_gid(Gid::from_raw(gid)).ok().flatten());
    let Some(group) = group else {
        return format!("{path:?} is for its owner alone: {as_owner}");
    };
    let me = User::from_uid(Uid::effective()).ok().flatten();
    let me = me.map_or_else(|| "USER".to_owned(), |user| user.name);
    let name = group.name;
    if group.mem.contains(&me) {
        return format!(
            "{path:?} is for the group {name}, in which this user is by now: log in anew"
        );
    }
    format!(
        "{path:?} is for the group {name}: sudo usermod --append --groups {name} {me}, and log in \
         anew; or as its owner: {as_owner}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_everything_lacks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        assert_eq!(hint(&log), None);
        std::fs::write(&log, "").unwrap();
        assert_eq!(hint(&log), None);
    }
}
