//! Whether all who share a database can open it: warnings for `check`.
//!
//! SQLite gives `-wal` and `-shm` the mode of the database, their maker as owner, and the folder's
//! group only where the folder is setgid. So with the wrong rights, who writes while the others are
//! away leaves companions that lock them out. Only databases that are shared are judged: a folder of
//! one user is right in any way. Files are looked at by path, never opened.

pub(super) mod lacking;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

const SETGID: u32 = 0o2000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// What is wrong with the rights of the database that `key` names.
pub(super) fn warnings(key: &str, database: &Path) -> Vec<String> {
    // The companions are beside the file itself, wherever a link to it is.
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(of_folder) = std::fs::metadata(folder) else {
        return Vec::new();
    };
    let seen = Seen {
        is_shared: is_shared(&of_folder),
        folder: Rights::of(folder, &of_folder),
        database: std::fs::metadata(&real)
            .ok()
            .map(|file| Rights::of(&real, &file)),
        companions: ["-wal", "-shm", "-journal"]
            .iter()
            .filter_map(|suffix| companion(&real, suffix))
            .collect(),
    };
    let complaints = seen.complaints().into_iter();
    complaints
        .map(|text| format!("warning: {key}: {text}"))
        .collect()
}

/// Whether others than its owner are meant to make files in a folder: its group is not the owner's
/// own, or has members.
fn is_shared(folder: &Metadata) -> bool {
    if folder.mode() & GROUP_WRITES == 0 {
        return false;
    }
    let owner = User::from_uid(Uid::from_raw(folder.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(folder.gid())).ok().flatten();
    let is_own = owner
        .as_ref()
        .is_some_and(|owner| owner.gid.as_raw() == folder.gid());
    let has_others = group.is_some_and(|group| {
        let name = owner.map(|owner| owner.name);
        group.mem.iter().any(|member| Some(member) != name.as_ref())
    });
    !is_own || has_others
}

fn companion(database: &Path, suffix: &str) -> Option<Rights> {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    let path = PathBuf::from(path);
    let file = std::fs::metadata(&path).ok()?;
    Some(Rights::of(&path, &file))
}

#[derive(Clone, Debug)]
struct Rights {
    path: PathBuf,
    user: u32,
    group: u32,
    mode: u32,
}

impl Rights {
    fn of(path: &Path, file: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            user: file.uid(),
            group: file.gid(),
            mode: file.mode(),
        }
    }
}

#[derive(Clone, Debug)]
struct Seen {
    is_shared: bool,
    folder: Rights,
    database: Option<Rights>,
    companions: Vec<Rights>,
}

impl Seen {
    fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        let folder = &self.folder;
        if self.is_shared && folder.mode & SETGID == 0 {
            found.push(format!(
                "the folder {0:?} is not setgid, so what one user makes in it another can't open: \
                 chmod g+s {0:?}",
                folder.path
            ));
        }
        let Some(database) = &self.database else {
            return found;
        };
        let everyone = database.mode & OTHERS_WRITE != 0;
        if self.is_shared && !everyone {
            if database.mode & GROUP_WRITES == 0 {
                found.push(format!(
                    "{0:?} can't be written by its group: chmod g+rw {0:?}",
                    database.path
                ));
            }
            if database.group != folder.group && folder.mode & SETGID != 0 {
                found.push(format!(
                    "{:?} has another group than its folder, which -wal and -shm get: \
                     chgrp --reference={:?} {:?}",
                    database.path, folder.path, database.path
                ));
            }
        }
        for companion in &self.companions {
            let by_group = companion.mode & GROUP_WRITES != 0 && companion.group == database.group;
            if companion.user != database.user && !by_group && companion.mode & OTHERS_WRITE == 0 {
                found.push(format!(
                    "{:?} can't be written by the owner of the database: stop who uses it, then \
                     chown --reference={:?} {:?}",
                    companion.path, database.path, companion.path
                ));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn rights(path: &str, user: u32, group: u32, mode: u32) -> Rights {
        let path = PathBuf::from(path);
        Rights {
            path,
            user,
            group,
            mode,
        }
    }

    #[test]
    fn shared_databases_need_setgid_group_rights_and_one_group() {
        let right = Seen {
            is_shared: true,
            folder: rights("/d", 1, 10, 0o2770),
            database: Some(rights("/d/a.db", 1, 10, 0o660)),
            companions: vec![rights("/d/a.db-wal", 2, 10, 0o660)],
        };
        let complaints = |change: &dyn Fn(&mut Seen)| {
            let mut seen = right.clone();
            change(&mut seen);
            seen.complaints().join("\n")
        };
        let database = |user, group, mode| Some(rights("/d/a.db", user, group, mode));
        assert_eq!(complaints(&|_| {}), "");
        assert_eq!(complaints(&|seen| seen.database = None), "");
        let not_setgid = complaints(&|seen| seen.folder.mode = 0o770);
        assert!(not_setgid.contains("not setgid") && not_setgid.lines().count() == 1);
        let closed = complaints(&|seen| seen.database = database(2, 10, 0o640));
        assert!(closed.contains("can't be written by its group"), "{closed}");
        let strange = complaints(&|seen| seen.database = database(2, 20, 0o660));
        assert!(
            strange.contains("another group than its folder"),
            "{strange}"
        );
        let left = complaints(&|seen| seen.companions = vec![rights("/d/a.db-shm", 0, 0, 0o640)]);
        assert!(left.contains("-shm\" can't be written"), "{left}");
        let alone = complaints(&|seen| {
            seen.is_shared = false;
            seen.folder.mode = 0o775;
            seen.database = database(2, 20, 0o644);
        });
        assert_eq!(alone, "");
    }

    #[test]
    fn a_folder_of_ones_own_is_right_in_any_way() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(warnings("[log] path", &database), Vec::<String>::new());
        std::fs::write(&database, "").unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(warnings("[log] path", &database), Vec::<String>::new());
        let nowhere = folder.path().join("no/a.db");
        assert_eq!(warnings("[log] path", &nowhere), Vec::<String>::new());
    }
}
