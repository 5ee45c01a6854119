//! What can go wrong with the log, a variant per step, and whether trying again can help.
//!
//! Nothing here decides to try again or to stop: that is the pipeline's. No text holds a row's
//! content.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::model::EventId;

/// What helps where the disk is full.
const FREE_SPACE: &str = "free some space; nothing is lost, and work goes on by itself";

/// What there is to do where a log has come to its end.
const ITS_END: &str = "it is never made anew by itself: restore it from a backup, save what can be \
                       read by .dump of sqlite3, or .recover of one newer than Debian 12's (see \
                       webhooksd-databases(7)), or move it away with its -wal and -shm to begin a \
                       new log; `webhooksd start-from` then says where in the outbox";

/// Why a step with the log failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be made.
    Create {
        /// The log's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be opened or set up.
    Open {
        /// The log's path.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What is in the place of the log, or of a companion of it, is no plain file.
    NotPlain {
        /// Its path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file is a database of something else.
    Foreign {
        /// The log's path.
        path: PathBuf,
    },
    /// The file is missing or empty, but its `-wal` is there.
    Emptied {
        /// The log's path.
        path: PathBuf,
    },
    /// The file or its `-wal` was moved or removed while it was open.
    Unlinked {
        /// The log's path.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    Newer {
        /// The log's path.
        path: PathBuf,
        /// The version of its shape.
        version: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The file was written by an earlier version, and no daemon has brought it up to date yet.
    Earlier {
        /// The log's path.
        path: PathBuf,
    },
    /// The file could not be brought to a newer shape.
    Migrate {
        /// The log's path.
        path: PathBuf,
        /// The version that was being made.
        version: i64,
        /// Why.
        source: rusqlite::Error,
    },
    /// A transaction or a query failed; nothing of it was kept.
    Step {
        /// What was being done, "admit events" style.
        step: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A server of PostgreSQL is away, or refuses what it is asked.
    Server(crate::postgres::Trouble),
    /// Another node has moved the cursor meanwhile: nothing was written.
    Overtaken,
    /// A delivery was to be written without a body.
    NoBody {
        /// The outbox id of its event.
        event_id: EventId,
    },
}

impl Error {
    pub(super) fn open(path: &Path, source: rusqlite::Error) -> Self {
        Self::Open {
            path: path.to_owned(),
            source,
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        self.sqlite().map(|failure| failure.code)
    }

    fn extended_code(&self) -> Option<i32> {
        self.sqlite().map(|failure| failure.extended_code)
    }

    fn sqlite(&self) -> Option<&ffi::Error> {
        match self {
            Self::Open { source, .. }
            | Self::Migrate { source, .. }
            | Self::Step { source, .. } => source.sqlite_error(),
            Self::Create { .. }
            | Self::NotPlain { .. }
            | Self::Foreign { .. }
            | Self::Emptied { .. }
            | Self::Unlinked { .. }
            | Self::Newer { .. }
            | Self::Earlier { .. }
            | Self::NoBody { .. } => None,
            Self::Server(_) | Self::Overtaken => None,
        }
    }

    /// Whether it is of a server, or of the others that share it: there a person may undo whatever it is.
    fn is_the_server_s(&self) -> bool {
        matches!(self, Self::Server(_) | Self::Overtaken)
    }

    /// Whether a start waits for it, however long it takes.
    #[must_use]
    pub(crate) fn is_waited_for(&self) -> bool {
        matches!(self, Self::Server(trouble) if trouble.is_waited_for())
    }

    /// Whether a person has to see to the file: it is damaged, or not one that is known here.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        let damaged = matches!(
            self.code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        );
        let refused = matches!(self, Self::Server(_)) && !self.may_pass();
        damaged
            || refused
            || matches!(
                self,
                Self::NotPlain { .. }
                    | Self::Foreign { .. }
                    | Self::Emptied { .. }
                    | Self::Newer { .. }
            )
    }

    /// Whether the same call may succeed later without anybody touching the log: somebody else was
    /// writing, the disk was full or failed, memory or descriptors were short. Of a server that was there at
    /// the start that is anything: whoever took a right or a password away gives it back.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let moved = matches!(self, Self::Unlinked { .. });
        moved
            || self.is_the_server_s()
            || matches!(
                self.code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::FileLockingProtocolFailed
                        | ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::OutOfMemory
                        | ErrorCode::CannotOpen
                        | ErrorCode::OperationInterrupted
                )
            )
    }

    /// Whether it is of the kind that passes by itself: a start waits for that. A file that can't be
    /// opened is a person's to see to.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Create { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Server(trouble) => trouble.may_pass() && !trouble.is_of_rights(),
            _ => self.is_transient() && self.code() != Some(ErrorCode::CannotOpen),
        }
    }

    /// Whether the disk, or the quota that SQLite knows of, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Create { .. } => Some("the folder must exist and be writable for this user"),
            Self::NotPlain { .. } => Some("correct [log] path, or what is there"),
            Self::Foreign { .. } => Some("give [log] path a file of its own"),
            Self::Emptied { .. } => Some(ITS_END),
            Self::Unlinked { .. } => Some(
                "put the very file back: what is written meanwhile goes with it. A stop would lose \
                 it, and what was pending with it",
            ),
            Self::Newer { .. } => Some("run the version that wrote it, or a newer one"),
            Self::Earlier { .. } => Some(
                "a daemon of this version brings it up to date when it starts; until then the version that wrote it \
                 reads it",
            ),
            Self::NoBody { .. } => None,
            Self::Server(trouble) => return trouble.hint(),
            Self::Overtaken => None,
            Self::Open { .. } | Self::Migrate { .. } | Self::Step { .. } => match self.code()? {
                ErrorCode::DiskFull => Some(FREE_SPACE),
                ErrorCode::SystemIoFailure => Some(match self.extended_code() {
                    // The index of the WAL could not be made longer.
                    Some(ffi::SQLITE_IOERR_SHMSIZE) => FREE_SPACE,
                    _ => {
                        "the disk or its file system fails: the kernel's log says how (dmesg); \
                         nothing is lost, and work goes on by itself"
                    }
                }),
                ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => Some(ITS_END),
                ErrorCode::CannotOpen => {
                    Some("the file must exist, and its folder be open to this user")
                }
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                    Some("this user needs the right to write the file and its folder")
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    Some("another program holds a write transaction open in it")
                }
                _ => None,
            },
        };
        hint.map(str::to_owned)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path, .. } => write!(f, "make log {path:?}"),
            Self::Open { path, .. } => write!(f, "open log {path:?}"),
            Self::NotPlain { path, what } => {
                write!(
                    f,
                    "the log needs a plain file at {path:?}, and there is {what}"
                )
            }
            Self::Foreign { path } => {
                write!(f, "open log {path:?}: it is a database of another program")
            }
            Self::Emptied { path } => write!(
                f,
                "open log {path:?}: it is missing or empty, but its -wal is there"
            ),
            Self::Unlinked { path } => write!(
                f,
                "log {path:?} or its -wal was moved or removed while it was open"
            ),
            Self::Newer {
                path,
                version,
                known,
            } => write!(
                f,
                "open log {path:?}: its shape is version {version}, and this webhooksd knows none \
                 above {known}"
            ),
            Self::Earlier { path } => {
                write!(f, "open log {path:?}: it was written by an earlier version")
            }
            Self::Migrate { path, version, .. } => {
                write!(f, "bring log {path:?} to version {version}")
            }
            Self::Step { step, .. } => write!(f, "log: {step}"),
            Self::Server(trouble) => write!(f, "{trouble}"),
            Self::Overtaken => f.write_str("another node has taken the events in"),
            Self::NoBody { event_id } => write!(f, "log: event {event_id} has no body to send"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Create { source, .. } => Some(source),
            Self::Server(trouble) => trouble.source(),
            Self::Open { source, .. }
            | Self::Migrate { source, .. }
            | Self::Step { source, .. } => Some(source),
            Self::NotPlain { .. }
            | Self::Foreign { .. }
            | Self::Emptied { .. }
            | Self::Unlinked { .. }
            | Self::Newer { .. }
            | Self::Earlier { .. }
            | Self::NoBody { .. } => None,
            Self::Overtaken => None,
        }
    }
}

/// Names the step of a failed call: a reader's, or what no fault may come after.
pub(super) trait Doing<T> {
    fn doing(self, step: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, step: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Step { step, source })
    }
}
