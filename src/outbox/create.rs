//! Making an outbox where there is no file.
//!
//! The database is made whole under another name and then put in its place, so that no process ever
//! finds half of one, neither after a crash nor in a race. An existing file is never touched, not
//! even an empty one. This is the only file of the module that makes a file by other means than
//! SQLite; no connection to it can exist yet.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};

use super::{Error, SCHEMA};
use crate::model::crash;

/// The owner and the group read and write; SQLite gives its companions the same.
const MODE: u32 = 0o660;

/// Makes the outbox at `path` where nothing is, and says whether it did.
///
/// Where a `-wal` or a `-journal` is left of a database that was there, nothing is made: SQLite would
/// take what is in it for the new database's.
///
/// The file is 0660 whatever the umask, in WAL mode, with the table and the trigger of [`SCHEMA`].
///
/// # Errors
///
/// [`Error::Make`] and [`Error::Fill`]; [`Error::Find`] where `path` can't be looked at.
pub(crate) fn create_if_missing(path: &Path) -> Result<bool, Error> {
    let make_error = |source| Error::Make {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            let path = path.to_owned();
            return Err(Error::Find { path, source });
        }
    }
    let leaves = |suffix: &str| {
        let mut companion = path.as_os_str().to_owned();
        companion.push(suffix);
        std::fs::metadata(Path::new(&companion)).is_ok_and(|left| left.len() > 0)
    };
    if leaves("-wal") || leaves("-journal") {
        return Ok(false);
    }
    let folder = folder_of(path);
    let draft = tempfile::Builder::new()
        .prefix(".webhooksd-outbox-")
        .tempfile_in(folder)
        .map_err(make_error)?
        .into_temp_path();
    std::fs::set_permissions(&draft, Permissions::from_mode(MODE)).map_err(make_error)?;
    fill(&draft).map_err(|source| Error::Fill {
        path: path.to_owned(),
        source,
    })?;
    crash::point("make the outbox", "drafted");
    if let Err(error) = draft.persist_noclobber(path) {
        // Another process was faster. A link that leads nowhere is there as well, and is an error.
        return if error.error.kind() == io::ErrorKind::AlreadyExists && path.exists() {
            Ok(false)
        } else {
            Err(make_error(error.error))
        };
    }
    crash::point("make the outbox", "in its place");
    // The rows of this file are promised to outlive a power cut, so its name must too.
    sync(folder).map_err(|error| make_error(error.into()))?;
    Ok(true)
}

/// Whether a missing outbox at `path` would be webhooksd's own: nothing is there, and its folder is
/// one of those that hold webhooksd's files. Elsewhere it is an application's, which makes it when
/// its time has come; a link there is somebody's, too.
#[must_use]
pub(crate) fn is_own(path: &Path, own_folders: &[PathBuf]) -> bool {
    let Ok(folder) = std::fs::canonicalize(folder_of(path)) else {
        return false;
    };
    let is_own = |own: &PathBuf| std::fs::canonicalize(own).is_ok_and(|own| own == folder);
    !path.is_symlink() && own_folders.iter().any(is_own)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn fill(draft: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(
        draft,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Answers with the mode that it got; on a file system without shared memory another does too.
    connection.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT"))?;
    connection.close().map_err(|(_, error)| error)
}

fn sync(folder: &Path) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    rustix::fs::fsync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_made_once_with_mode_wal_and_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        assert!(create_if_missing(&path).unwrap());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let connection = Connection::open(&path).unwrap();
        let text = |sql: &str| -> String { connection.query_row(sql, (), |r| r.get(0)).unwrap() };
        assert_eq!(text("PRAGMA journal_mode"), "wal");
        let table = text("SELECT sql FROM sqlite_schema WHERE name = 'outbox'");
        let trigger = text("SELECT sql FROM sqlite_schema WHERE name = 'outbox_id'");
        assert_eq!(format!("{table};\n{trigger};\n"), SCHEMA);
        assert!(!create_if_missing(&path).unwrap());
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.db");
        std::fs::write(&path, "").unwrap();
        assert!(!create_if_missing(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink("nowhere.db", &link).unwrap();
        assert!(matches!(create_if_missing(&link), Err(Error::Make { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let nowhere = folder.path().join("no/outbox.db");
        assert!(matches!(
            create_if_missing(&nowhere),
            Err(Error::Make { .. })
        ));
    }

    #[test]
    fn nothing_is_made_beside_what_is_left_of_a_database() {
        for suffix in ["-wal", "-journal"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("outbox.db");
            let left = folder.path().join(format!("outbox.db{suffix}"));
            std::fs::write(&left, "frames").unwrap();
            assert!(!create_if_missing(&path).unwrap());
            assert!(!path.exists());
            std::fs::write(&left, "").unwrap();
            assert!(
                create_if_missing(&path).unwrap(),
                "an empty one says nothing"
            );
        }
    }

    #[test]
    fn only_what_is_missing_in_a_folder_of_ones_own_is_ones_own() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [own.path().join("."), own.path().join("none")];
        assert!(is_own(&own.path().join("outbox.db"), &folders));
        assert!(!is_own(&other.path().join("app.db"), &folders));
        assert!(!is_own(&own.path().join("none/app.db"), &folders));
        let link = own.path().join("link.db");
        std::os::unix::fs::symlink(other.path().join("app.db"), &link).unwrap();
        assert!(!is_own(&link, &folders));
    }

    #[test]
    fn of_many_at_once_one_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let made = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| create_if_missing(&path).unwrap()))
                .collect();
            racers
                .into_iter()
                .map(|r| r.join().unwrap())
                .filter(|m| *m)
                .count()
        });
        assert_eq!(made, 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
