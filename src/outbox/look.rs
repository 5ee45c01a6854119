//! A look into an outbox that leaves no trace: no file is made, nothing is locked for long.
//! How that is done is in `traceless`.

use std::fs;
use std::io;
use std::path::Path;

use super::connect::{self, Identity};
use super::{Error, Tail, table, traceless};

/// What a look found.
#[derive(Debug)]
pub(crate) enum Look {
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
pub(crate) fn look(path: &Path, max_data_bytes: usize) -> Result<Look, Error> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Look::Missing);
    }
    connect::spare_the_owner(path)?;
    let identity = Identity::of(path)?;
    let Some(connection) = traceless::open(path)? else {
        return Ok(Look::Closed);
    };
    let table = table::inspect(&connection, path)?;
    let tail = Tail::over(connection, path, identity, table, max_data_bytes)?;
    Ok(Look::Table(Box::new(tail)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use rusqlite::Connection;

    use super::*;
    use crate::model::EventId;
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
            assert_eq!(tail.sequence().unwrap(), EventId::new(i64::from(!at_rest)));
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
