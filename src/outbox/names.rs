//! One database, one name.
//!
//! SQLite keeps the `-wal` beside the name by which a database was opened. Under a second name there
//! is a second `-wal`: what is written under one is not seen under the other, and both write into the
//! same file in the end, which damages it (<https://sqlite.org/howtocorrupt.html>, section 2.5). A
//! symbolic link is no second name, SQLite follows it; neither is a folder that is mounted twice. Only
//! this end is seen: where the other program has the file mounted alone, and this one not, the file
//! looks as it should. The file is only looked at by path.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

/// How a file has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherName {
    /// So many hard links lead to it.
    Links(u64),
    /// It is mounted alone, from wherever its real name is.
    Mounted,
}

impl OtherName {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(self, path: &Path) -> String {
        match self {
            Self::Links(_) => format!(
                "give every program the same path; `find DIR -xdev -samefile '{}'` shows the other \
                 names: remove them, and make backups by sqlite3's .backup, not by links",
                path.display()
            ),
            Self::Mounted => {
                "mount the folder that holds the database, not the file alone (docker: -v \
                 /srv/app:/data, not -v /srv/app/app.db:/data/app.db)"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for OtherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Links(count) => write!(f, "has {count} names (hard links)")?,
            Self::Mounted => f.write_str("is mounted as a single file")?,
        }
        f.write_str(
            ": SQLite keeps another -wal beside each name, so what one program writes the other \
             does not see, and the file is damaged in the end",
        )
    }
}

/// Whether the file that `path` leads to has another name. A file that can't be looked at has none.
#[must_use]
pub(crate) fn other_name(path: &Path) -> Option<OtherName> {
    let file = std::fs::metadata(path).ok()?;
    if !file.is_file() {
        return None;
    }
    if file.nlink() > 1 {
        return Some(OtherName::Links(file.nlink()));
    }
    // Older kernels than 5.8 don't say.
    let more = statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).ok()?;
    let root = StatxAttributes::MOUNT_ROOT;
    (more.stx_attributes_mask & more.stx_attributes)
        .contains(root)
        .then_some(OtherName::Mounted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Vfs;
    use crate::outbox::{Error, Pruner, Tail, create_if_missing};

    #[test]
    fn a_hard_link_is_another_name_and_a_symbolic_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        create_if_missing(&path).unwrap();
        let link = folder.path().join("symbolic.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(other_name(&link), None);
        Tail::open(&link, 1).unwrap();
        let other = folder.path().join("hard.db");
        std::fs::hard_link(&path, &other).unwrap();
        for name in [&path, &other, &link] {
            assert_eq!(other_name(name), Some(OtherName::Links(2)), "{name:?}");
            for error in [
                Tail::open(name, 1).map(drop).unwrap_err(),
                Pruner::open(name, Vfs::default()).map(drop).unwrap_err(),
            ] {
                assert!(matches!(error, Error::OtherName { .. }), "{error}");
                assert!(error.hint().unwrap().contains("-samefile"), "{error}");
            }
        }
        assert_eq!(other_name(folder.path()), None, "a folder has many");
        std::fs::remove_file(&other).unwrap();
        Tail::open(&path, 1).unwrap();
    }
}
