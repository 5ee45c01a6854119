//! Whether the log is still where it was: a file that is moved or removed while it is open takes
//! every commit with it, and nobody would see that before the next start.
//!
//! Files are looked at by path only. What to do about it is a person's.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;

/// Device and inode of the log and of its `-wal`, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    log: PathBuf,
    files: [(PathBuf, Option<(u64, u64)>); 2],
}

impl Place {
    /// Of a log that is open, in WAL mode.
    pub(super) fn of(log: &Path) -> Self {
        let of = |suffix| {
            let mut path = log.as_os_str().to_owned();
            path.push(suffix);
            let path = PathBuf::from(path);
            let file = identity(&path);
            (path, file)
        };
        Self {
            log: log.to_owned(),
            files: [of(""), of("-wal")],
        }
    }

    /// # Errors
    /// [`Error::Unlinked`] where other files, or none, are there now.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self
            .files
            .iter()
            .all(|(path, file)| identity(path) == *file)
        {
            return Ok(());
        }
        Err(Error::Unlinked {
            path: self.log.clone(),
        })
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
