//! Opening connections to the outbox, to read or to write.
//!
//! A connection is opened so that the application is not harmed by it: nothing that outlasts the
//! connection is set, and no `-wal` or `-shm` is made that the application couldn't write afterwards.
//! The file itself is only looked at by path (`stat`), never opened but by SQLite.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Error, other_name};
use crate::model::{Vfs, other_kind};

/// How long opening waits for a connection that holds the database, a recovery for instance.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// Which file is under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file that `path` leads to.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        look_at(path).map(|file| Self {
            device: file.dev(),
            inode: file.ino(),
        })
    }
}

/// A connection that reads only. What a crash left half done is taken back first, with the right to
/// write where there is one: only so can it be read at all.
pub(super) fn to_read(path: &Path, vfs: Vfs) -> Result<Connection, Error> {
    spare_the_owner(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, vfs)?;
    let set_up = || -> rusqlite::Result<()> {
        // Else SQLite plans each look anew, for the cursor that is bound to it differs: three
        // quarters of what a look costs.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 0")
    };
    set_up().map_err(|source| open_error(path, source))?;
    match look(&connection).map_err(|source| open_error(path, source)) {
        Err(error) if !(error.is_unfinished() && finish(path, vfs).is_ok()) => Err(error),
        _ => Ok(connection),
    }
}

/// Takes back a transaction that a crash of the application left half done in its rollback journal,
/// as the application's own next look would (<https://sqlite.org/lockingv3.html#hot_journals>).
pub(super) fn finish(path: &Path, vfs: Vfs) -> Result<(), Error> {
    look(&to_write(path, vfs)?).map_err(|source| open_error(path, source))
}

/// Whether this user has the rights for that.
pub(super) fn may_finish(real: &Path) -> bool {
    let folder = real.parent().unwrap_or(Path::new("/"));
    accessat(CWD, real, Access::WRITE_OK, AtFlags::EACCESS).is_ok() && may_make_files_in(folder)
}

/// The cheapest question that has SQLite read the file.
pub(super) fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA main.schema_version", (), |_| Ok(()))
}

/// A connection that writes; the file must be there.
pub(super) fn to_write(path: &Path, vfs: Vfs) -> Result<Connection, Error> {
    spare_the_owner(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, vfs)?;
    // Who copies the WAL is decided in `wal`.
    connection
        .execute_batch("PRAGMA wal_autocheckpoint = 0")
        .map_err(|source| open_error(path, source))?;
    // SQLite opens a file that it may not write for reading instead, and says nothing.
    match connection.is_readonly("main") {
        Ok(false) => Ok(connection),
        Ok(true) => {
            let source =
                rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None);
            Err(open_error(path, source))
        }
        Err(source) => Err(open_error(path, source)),
    }
}

fn open(path: &Path, flags: OpenFlags, vfs: Vfs) -> Result<Connection, Error> {
    let open_error = |source| open_error(path, source);
    let connection = Connection::open_with_flags_and_vfs(path, flags, vfs.0).map_err(open_error)?;
    connection.busy_timeout(OPEN_PATIENCE).map_err(open_error)?;
    Ok(connection)
}

pub(super) fn open_error(path: &Path, source: rusqlite::Error) -> Error {
    Error::Open {
        path: path.to_owned(),
        source,
    }
}

/// Looks at the file by its path, which has to be a plain one: a pipe would be waited for when it is
/// opened, for ever.
pub(super) fn look_at(path: &Path) -> Result<Metadata, Error> {
    let file = std::fs::metadata(path).map_err(|source| find_error(path, source))?;
    match other_kind(&file) {
        None => Ok(file),
        Some(what) => Err(not_plain(path, format!("it is {what}, and no plain file"))),
    }
}

/// Looks at the file and at what is in the place of its companions: SQLite opens the `-journal` to see
/// whether there is something to take back, and meets a folder only later, as a disk that fails.
pub(super) fn look_at_all(path: &Path) -> Result<Metadata, Error> {
    let file = look_at(path)?;
    let real = std::fs::canonicalize(path).map_err(|source| find_error(path, source))?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut companion = real.clone().into_os_string();
        companion.push(suffix);
        let there = std::fs::metadata(companion).ok();
        if let Some(what) = there.as_ref().and_then(other_kind) {
            let words = format!("{what} is in the place of its {suffix}");
            return Err(not_plain(path, words));
        }
    }
    Ok(file)
}

fn find_error(path: &Path, source: io::Error) -> Error {
    Error::Find {
        path: path.to_owned(),
        source,
    }
}

fn not_plain(path: &Path, words: String) -> Error {
    find_error(path, io::Error::new(io::ErrorKind::InvalidInput, words))
}

/// Who owns a file, who makes one, and what others may do.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    group: u32,
    mode: u32,
}

impl Owner {
    fn of(file: &Metadata) -> Self {
        Self {
            user: file.uid(),
            group: file.gid(),
            mode: file.mode(),
        }
    }

    /// Whether companions that `maker` makes can be written by the owner of this database.
    ///
    /// SQLite gives them the mode of the database. Their owner is their maker (root hands them
    /// over), their group that of the folder where it is setgid.
    fn may_write_those_of(self, maker: Self, folder: Self) -> bool {
        let group = if folder.mode & 0o2000 == 0 {
            maker.group
        } else {
            folder.group
        };
        maker.user == 0
            || maker.user == self.user
            || self.mode & 0o002 != 0
            || (self.mode & 0o020 != 0 && self.group == group)
    }
}

/// Refuses to open a database by one of several names, and where that would make companions which
/// its owner could not write: the application would find its own database read-only.
pub(super) fn spare_the_owner(path: &Path) -> Result<(), Error> {
    let file = look_at_all(path)?;
    if let Some(how) = other_name(path) {
        let path = path.to_owned();
        return Err(Error::OtherName { path, how });
    }
    let find_error = |source| find_error(path, source);
    let real = std::fs::canonicalize(path).map_err(find_error)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let maker = Owner {
        user: rustix::process::geteuid().as_raw(),
        group: rustix::process::getegid().as_raw(),
        mode: 0,
    };
    let folder_owner = Owner::of(&std::fs::metadata(folder).map_err(find_error)?);
    let made_already = ["-wal", "-shm"].iter().all(|suffix| {
        let mut companion = real.clone().into_os_string();
        companion.push(suffix);
        Path::new(&companion).exists()
    });
    if made_already
        || Owner::of(&file).may_write_those_of(maker, folder_owner)
        || !may_make_files_in(folder)
    {
        return Ok(());
    }
    Err(Error::Companions {
        path: path.to_owned(),
    })
}

fn may_make_files_in(folder: &Path) -> bool {
    accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_can_write_what_a_sharing_maker_makes() {
        let owner = |user, group, mode| Owner { user, group, mode };
        let plain = owner(0, 0, 0o770);
        let setgid = owner(0, 20, 0o2770);
        for (file, maker, folder, expected) in [
            (owner(1, 10, 0o644), owner(2, 20, 0), plain, false),
            (owner(1, 10, 0o660), owner(2, 20, 0), plain, false),
            (owner(1, 20, 0o660), owner(2, 20, 0), plain, true),
            (owner(1, 20, 0o640), owner(2, 20, 0), plain, false),
            (owner(1, 20, 0o660), owner(2, 30, 0), setgid, true),
            (owner(1, 10, 0o660), owner(2, 10, 0), setgid, false),
            (owner(1, 10, 0o666), owner(2, 20, 0), plain, true),
            (owner(1, 10, 0o600), owner(1, 20, 0), plain, true),
            (owner(1, 10, 0o600), owner(0, 0, 0), plain, true),
        ] {
            let can = file.may_write_those_of(maker, folder);
            assert_eq!(can, expected, "{file:?} {maker:?} {folder:?}");
        }
    }
}
