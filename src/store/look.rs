//! A look into a log that leaves no trace, for who wants to know whether a start would take it.
//!
//! As for an outbox: opening it to read would make a `-wal` and a `-shm` where they are missing, so then
//! it is read as a file that nobody changes. Its rights are the caller's to look at.

use std::fs;
use std::path::Path;

use super::{Error, Reader, connect, create, schema};
use crate::model::Cursor;

/// What a look found.
#[derive(Debug)]
pub(crate) enum Look {
    /// There is none, or an empty file: a start makes the log.
    New,
    /// It can't be looked into without making files, or is of an older version.
    Closed,
    /// A log, and how far it has taken the outbox; `None` where it was never told.
    Log(Option<Cursor>),
}

/// Looks into the log at `path`.
///
/// # Errors
/// What opening it for good would meet: see [`Store::open`](super::Store::open).
pub(crate) fn look(path: &Path) -> Result<Look, Error> {
    connect::is_plain(path)?;
    if create::is_lost(path) {
        return Err(Error::Emptied {
            path: path.to_owned(),
        });
    }
    let bytes = |suffix| {
        fs::metadata(connect::beside(path, suffix))
            .map(|file| file.len())
            .ok()
    };
    if fs::metadata(path).is_err() && fs::symlink_metadata(path).is_ok() {
        // A link that leads nowhere: no file is made through it.
        connect::reader(path)?;
    }
    if bytes("").is_none_or(|bytes| bytes == 0) {
        return Ok(Look::New);
    }
    let connection = match (bytes("-wal"), bytes("-shm")) {
        (Some(1..), None) => return Ok(Look::Closed),
        _ => connect::leaving_no_trace(path)?,
    };
    if !schema::is_of_today(&connection, path)? {
        return Ok(Look::Closed);
    }
    Reader { connection }.known().map(Look::Log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;
    use crate::store::Store;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_look_makes_no_file_and_refuses_what_a_start_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l og.db");
        assert!(matches!(look(&path), Ok(Look::New)));
        assert_eq!(names(folder.path()).len(), 0);
        let mut store = Store::open(&path, 0).unwrap();
        let cursor = Cursor {
            event_id: EventId::new(7),
            ..Cursor::default()
        };
        assert!(matches!(look(&path), Ok(Look::Log(None))));
        store.set_cursor(&cursor, 0).unwrap();
        drop(store);
        let before = names(folder.path());
        for _ in 0..2 {
            let Ok(Look::Log(Some(known))) = look(&path) else {
                panic!("no cursor");
            };
            assert_eq!(known.event_id, EventId::new(7));
            assert_eq!(names(folder.path()), before);
        }
        fs::write(
            &path,
            "no database at all, and long enough to be one".repeat(100),
        )
        .unwrap();
        assert!(look(&path).unwrap_err().needs_a_person());
        fs::write(&path, "").unwrap();
        assert!(matches!(look(&path), Err(Error::Emptied { .. })));
    }
}
