//! A look into an outbox that leaves no trace: no file is made, nothing is locked for long.
//!
//! Who opens a database in WAL mode makes its `-wal` and `-shm` where they are missing, even to read
//! (<https://sqlite.org/wal.html#read_only_databases>). So where they are missing the file is read as one
//! that nobody changes, which is right but for a transaction that ends just then; and where a `-wal` holds
//! something and its `-shm` is gone, or a crash left a transaction half done, it is not looked into at all.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::connect::{self, Identity};
use super::{Error, Tail, table};

/// What a look found.
#[derive(Debug)]
pub enum Look {
    /// There is no file.
    Missing,
    /// It can't be looked into without making files.
    Closed,
    /// A proper table.
    Table(Box<Tail>),
}

/// Looks into the outbox at `path`.
///
/// # Errors
/// What opening it for good would meet: see [`Tail::open`].
pub fn look(path: &Path, max_data_bytes: usize) -> Result<Look, Error> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Look::Missing);
    }
    connect::spare_the_owner(path)?;
    let identity = Identity::of(path)?;
    let Some(connection) = open(path)? else {
        return Ok(Look::Closed);
    };
    let table = table::inspect(&connection, path)?;
    let tail = Tail::over(connection, path, identity, table, max_data_bytes)?;
    Ok(Look::Table(Box::new(tail)))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::create_if_missing;

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_look_makes_no_file_and_sees_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b?#%\u{e9}.db");
        assert!(matches!(look(&path, 1), Ok(Look::Missing)));
        assert_eq!(names(folder.path()).len(), 0);
        create_if_missing(&path).unwrap();
        for at_rest in [true, false] {
            let application = (!at_rest).then(|| Connection::open(&path).unwrap());
            if let Some(application) = &application {
                let sql = "INSERT INTO outbox (event, data) VALUES ('e', '1')";
                application.execute_batch(sql).unwrap();
            }
            let before = names(folder.path());
            let Look::Table(mut tail) = look(&path, 1).unwrap() else {
                panic!("no table");
            };
            assert_eq!(tail.sequence().unwrap(), i64::from(!at_rest));
            drop(tail);
            assert_eq!(names(folder.path()), before);
        }
    }

    #[test]
    fn a_log_of_writes_without_its_index_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        create_if_missing(&path).unwrap();
        fs::write(folder.path().join("a.db-wal"), "x").unwrap();
        assert!(matches!(look(&path, 1), Ok(Look::Closed)));
        assert_eq!(names(folder.path()), ["a.db", "a.db-wal"]);
    }

    #[test]
    fn what_is_no_outbox_is_refused_as_by_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(
            &path,
            "no database at all, and long enough to be one".repeat(100),
        )
        .unwrap();
        assert!(look(&path, 1).unwrap_err().is_corrupt());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(look(&path, 1), Err(Error::NoTable { .. })));
        assert_eq!(names(folder.path()), ["a.db"]);
    }
}
