//! Makes the file of a new log, closed to others, before SQLite opens it.
//!
//! SQLite would make it with the process's umask and give `-wal` and `-shm` the same mode, so the
//! mode is set here, exactly, whatever the umask. An existing file is left as it is: its mode is
//! the administrator's. This is the only place in `store` that opens the file by other means than
//! SQLite, and it does so only where the file did not exist, hence where nobody holds a lock on it.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::model::crash;

/// The owner and the group read and write: members of the group redeliver by SQL.
const MODE: u32 = 0o660;

/// Makes an empty file at `path` unless there is one. A log that lost what it held, so that only its
/// `-wal` is left, is not made anew: SQLite would delete that.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    if is_lost(path) {
        return Err(Error::Emptied {
            path: path.to_owned(),
        });
    }
    if length(path).is_some_and(|bytes| bytes > 0) {
        return Ok(());
    }
    let failed = |source| Error::Create {
        path: path.to_owned(),
        source,
    };
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
            _ => {}
        }
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(MODE)));
    crash::point("make the log", "empty file");
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(failed(source)),
        _ => Ok(()),
    }
}

/// Whether the log has lost what it held: the file is missing or empty, and its `-wal` is there.
pub(super) fn is_lost(path: &Path) -> bool {
    let wal = length(&beside(path, "-wal"));
    match length(path) {
        // A first start that was cut short leaves an empty file, but the -wal comes after its first
        // page, and stays for good.
        Some(0) => wal.is_some(),
        Some(_) => false,
        None => wal.is_some_and(|bytes| bytes > 0),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).map(|file| file.len()).ok()
}
