//! A connection to look with that leaves no trace: no file is made, nothing is locked for long.
//!
//! Who opens a database in WAL mode makes its `-wal` and `-shm` where they are missing, even to read
//! (<https://sqlite.org/wal.html#read_only_databases>). So where they are missing the file is read as one
//! that nobody changes, which is right but for a transaction that ends just then; and where a `-wal` holds
//! something and its `-shm` is gone, or a crash left a transaction half done, it is not looked into at all.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{Error, connect};

/// A connection that makes no file; `None` where there is none to be had.
pub(super) fn open(path: &Path) -> Result<Option<Connection>, Error> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = |suffix: &str| {
        let mut path = real.clone().into_os_string();
        path.push(suffix);
        fs::metadata(PathBuf::from(path))
            .map(|file| file.len())
            .ok()
    };
    let (wal, shm, journal) = (beside("-wal"), beside("-shm"), beside("-journal"));
    if wal.is_some_and(|bytes| bytes > 0) && shm.is_none() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = if wal.is_some() && shm.is_some() || journal.is_some() {
        Connection::open_with_flags(path, flags)
    } else {
        let uri = unchanging(&real);
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
    };
    let connection = opened.map_err(|source| connect::open_error(path, source))?;
    match connect::look(&connection).map_err(|source| connect::open_error(path, source)) {
        Ok(()) => Ok(Some(connection)),
        // A start takes back what a crash left half done, where it may.
        Err(error) if error.is_unfinished() && connect::may_finish(&real) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file's name as a URI that says that nobody changes it: no lock, no `-wal`, no `-shm`.
fn unchanging(path: &Path) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let path: OsString = path.into();
    let path = path.as_bytes().iter();
    let encoded = path.map(|b| {
        if plain(*b) {
            char::from(*b).to_string()
        } else {
            format!("%{b:02X}")
        }
    });
    format!("file:{}?immutable=1", encoded.collect::<String>())
}
