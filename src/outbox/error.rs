//! What can go wrong with an outbox, one variant for each step, with the file and the cause.
//!
//! A row that can't be sent is no error: it is a [`Row::Rejected`](super::Row). Whether to try
//! again, to give up or to tell the operator is the caller's to decide; `is_busy`, `is_corrupt` and
//! `hint` are what it decides by. No text of an event is ever in an error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::{OtherName, Trouble};

/// How an application and webhooksd share a database.
const SHARE: &str = "the application and this user must both be able to write the file and its -wal \
                     and -shm: a shared group, chmod 660 on the file, chmod 2770 on its folder";

/// A step that failed, with its file.
#[derive(Debug)]
pub enum Error {
    /// The file isn't there, or can't be looked at.
    Find {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A missing file couldn't be made.
    Make {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A new file couldn't be given its table.
    Fill {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database can't be opened.
    Open {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Opening the database would make a `-wal` and a `-shm` that its owner can't write.
    Companions {
        /// The outbox.
        path: PathBuf,
    },
    /// The file has another name, and so another `-wal`.
    OtherName {
        /// The outbox.
        path: PathBuf,
        /// How.
        how: OtherName,
    },
    /// Another daemon follows the outbox.
    Held {
        /// The outbox.
        path: PathBuf,
        /// Its process id, where it is known.
        pid: Option<u32>,
    },
    /// The database has no table `outbox`.
    NoTable {
        /// The outbox.
        path: PathBuf,
    },
    /// What is called `outbox` is no ordinary table.
    NotTable {
        /// The outbox.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The table lacks a column.
    NoColumn {
        /// The outbox.
        path: PathBuf,
        /// Its name.
        column: &'static str,
    },
    /// The table's `id` isn't `INTEGER PRIMARY KEY AUTOINCREMENT`.
    NotAutoincrement {
        /// The outbox.
        path: PathBuf,
        /// What makes it so.
        sql: String,
    },
    /// Somebody removed the `-wal` or `-shm` while they were open.
    Unlinked {
        /// The outbox.
        path: PathBuf,
    },
    /// Rows can't be read.
    Read {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Rows can't be added.
    Append {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Rows can't be deleted.
    Prune {
        /// The outbox.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A folder can't be watched.
    Watch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Waiting for a change failed.
    Wait {
        /// Why.
        source: io::Error,
    },
    /// An outbox in PostgreSQL can't be used.
    Server(Trouble),
}

impl Error {
    /// Whether another connection is in the way just now: look again a little later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        if let Self::Server(trouble) = self {
            return trouble.is_away();
        }
        matches!(
            self.code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed
            )
        )
    }

    /// Whether it is of the kind that passes by itself, or with a new start: the application is
    /// writing, the disk is full or fails, memory is short, the companions were removed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Make { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Unlinked { .. } => true,
            Self::Server(trouble) => trouble.may_pass(),
            _ => {
                self.is_busy()
                    || matches!(
                        self.code(),
                        Some(
                            ErrorCode::DiskFull
                                | ErrorCode::SystemIoFailure
                                | ErrorCode::OutOfMemory
                        )
                    )
            }
        }
    }

    /// Whether a server answered that it does not do what it was told.
    #[must_use]
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Server(trouble) if trouble.is_refused())
    }

    /// Whether it is only that the application has not made its database, or its table, yet.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        match self {
            Self::NoTable { .. } => true,
            Self::Find { source, .. } | Self::Make { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }

    /// Whether the file is damaged, or no SQLite database at all.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// Whether a crash left something half done that a connection which only reads can't take back.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        let codes = [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY];
        self.sqlite()
            .is_some_and(|failure| codes.contains(&failure.extended_code))
    }

    /// What an operator can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTable { path } => Some(format!(
                "webhooksd schema outbox | sqlite3 '{}'",
                path.display()
            )),
            Self::NotTable { .. } => Some(
                "rename it; an event table of the application's own is copied into `outbox` by an \
                 AFTER INSERT trigger"
                    .to_owned(),
            ),
            Self::NoColumn { .. } => {
                Some("`webhooksd schema outbox` prints the table that is expected".to_owned())
            }
            Self::NotAutoincrement { sql, .. } => Some(format!(
                "a migration may have lost it; with the application stopped, in one go \
                 (sqlite3 -bail): {sql}"
            )),
            Self::OtherName { path, how } => Some(how.hint(path)),
            Self::Server(trouble) => trouble.hint(),
            Self::Held { .. } => Some(
                "one daemon follows one outbox, each event would be sent twice: stop the other one, \
                 or give both webhooks to one configuration"
                    .to_owned(),
            ),
            Self::Find { path, source } | Self::Make { path, source }
                if source.kind() == io::ErrorKind::NotFound && lacks_folder(path) =>
            {
                Some("its folder does not exist: make it, or correct [outbox] path".to_owned())
            }
            Self::Find { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                Some("correct [outbox] path, or what is there".to_owned())
            }
            _ if self.is_awaited() => Some(
                "the application makes it; for an outbox of webhooksd's own: \
                 webhooksd schema outbox | sqlite3 FILE"
                    .to_owned(),
            ),
            Self::Watch { source, .. }
                if source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
                    || source.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) =>
            {
                Some(
                    "raise fs.inotify.max_user_instances or fs.inotify.max_user_watches".to_owned(),
                )
            }
            Self::Watch { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("give this user the right to read (r) on the folder".to_owned())
            }
            Self::Companions { .. } => Some(SHARE.to_owned()),
            Self::Unlinked { .. } => Some(
                "start the daemon anew; stop it before files of the outbox are put back or removed \
                 (sqlite3's .restore needs no stop)"
                    .to_owned(),
            ),
            _ => self.access_hint(),
        }
    }

    fn access_hint(&self) -> Option<String> {
        let failure = self.sqlite()?;
        match (failure.code, failure.extended_code) {
            (_, ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY) => Some(
                "have the application open the database once, to finish what a crash left behind"
                    .to_owned(),
            ),
            (ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => {
                Some(SHARE.to_owned())
            }
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Some(
                "it is never altered or made anew: restore it from a backup, or save what can be \
                 read by .dump of sqlite3, or .recover of one newer than Debian 12's (see \
                 webhooksd-databases(7)); what the log knows of it is compared at the next start"
                    .to_owned(),
            ),
            (ErrorCode::DatabaseBusy, _) => Some(
                "another program has it for itself: a long transaction, or locking_mode = EXCLUSIVE"
                    .to_owned(),
            ),
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => {
                Some("free some space; work goes on by itself".to_owned())
            }
            _ => None,
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        self.sqlite().map(|failure| failure.code)
    }

    fn sqlite(&self) -> Option<&ffi::Error> {
        match self {
            Self::Fill { source, .. }
            | Self::Open { source, .. }
            | Self::Read { source, .. }
            | Self::Append { source, .. }
            | Self::Prune { source, .. } => match source {
                rusqlite::Error::SqliteFailure(error, _)
                | rusqlite::Error::SqlInputError { error, .. } => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

fn lacks_folder(path: &Path) -> bool {
    path.parent()
        .is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.exists())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find { path, .. } => write!(f, "find outbox {path:?}"),
            Self::Make { path, .. } => write!(f, "make outbox {path:?}"),
            Self::Fill { path, .. } => write!(f, "make the table of the new outbox {path:?}"),
            Self::Open { path, .. } => write!(f, "open outbox {path:?}"),
            Self::Companions { path } => write!(
                f,
                "opening outbox {path:?} would make a -wal and a -shm that its owner can't write"
            ),
            Self::OtherName { path, how } => write!(f, "outbox {path:?} {how}"),
            Self::Held {
                path,
                pid: Some(pid),
            } => write!(f, "outbox {path:?} is followed by process {pid}"),
            Self::Held { path, pid: None } => {
                write!(f, "outbox {path:?} is followed by another process")
            }
            Self::NoTable { path } => write!(f, "outbox {path:?} has no table \"outbox\""),
            Self::NotTable { path, what } => write!(f, "\"outbox\" in {path:?} is {what}"),
            Self::NoColumn { path, column } => {
                write!(f, "the table of outbox {path:?} has no column {column:?}")
            }
            Self::NotAutoincrement { path, .. } => write!(
                f,
                "the table of outbox {path:?} has no \"id INTEGER PRIMARY KEY AUTOINCREMENT\": \
                 without it SQLite gives the ids of deleted rows again, and the events that get \
                 them would be taken for ones already sent"
            ),
            Self::Unlinked { path } => write!(
                f,
                "the -wal or -shm of outbox {path:?} was removed while it was open"
            ),
            Self::Read { path, .. } => write!(f, "read outbox {path:?}"),
            Self::Append { path, .. } => write!(f, "append to outbox {path:?}"),
            Self::Prune { path, .. } => write!(f, "delete old rows of outbox {path:?}"),
            Self::Watch { folder, .. } => write!(f, "watch folder {folder:?}"),
            Self::Wait { .. } => write!(f, "wait for the outbox to change"),
            Self::Server(trouble) => trouble.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Find { source, .. }
            | Self::Make { source, .. }
            | Self::Watch { source, .. }
            | Self::Wait { source } => Some(source),
            Self::Fill { source, .. }
            | Self::Open { source, .. }
            | Self::Read { source, .. }
            | Self::Append { source, .. }
            | Self::Prune { source, .. } => Some(source),
            Self::Server(trouble) => trouble.source(),
            Self::Companions { .. }
            | Self::OtherName { .. }
            | Self::Held { .. }
            | Self::Unlinked { .. }
            | Self::NoTable { .. }
            | Self::NotTable { .. }
            | Self::NoColumn { .. }
            | Self::NotAutoincrement { .. } => None,
        }
    }
}
