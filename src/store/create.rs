//! Makes the file of a new log, closed to others, before SQLite opens it.
//!
//! SQLite would make it with the process's umask and give `-wal` and `-shm` the same mode, so the
//! mode is set here, exactly, whatever the umask. An existing file is left as it is: its mode is
//! the administrator's. This is the only place in `store` that opens the file by other means than
//! SQLite, and it does so only where the file did not exist, hence where nobody holds a lock on it.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::Error;
use crate::model::crash;

/// The owner and the group read and write: members of the group redeliver by SQL.
const MODE: u32 = 0o660;

/// Makes an empty file at `path` unless there is one.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(MODE)));
    crash::point("make the log", "empty file");
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(Error::Create {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
