//! Opens connections to the log and sets them up: the writer, the checkpointer, a reader.
//!
//! Every connection that may write persists the WAL: the last one to close would delete `-wal` and
//! `-shm` otherwise, and a reader without the right to make them could not open a stopped daemon's
//! log (<https://sqlite.org/wal.html#read_only_databases>). What the file holds is not looked at here.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, FileControl, OpenFlags};

use super::error::Error;
use crate::model::{Vfs, other_kind};

/// A row of 2.5 KiB wastes a third of the default page of 4096 bytes.
pub(super) const PAGE_BYTES: i64 = 8192;

/// SQLite's page cache takes this much at most, and only as it is used.
const CACHE_KIB: i64 = 16 * 1024;

/// The checkpointer needs hardly any pages: it copies from the WAL past its cache.
const CHECKPOINTER_CACHE_KIB: i64 = 256;

/// A WAL that a burst made longer is cut to this when it starts over: 64 MiB, twice what it has under
/// steady load, for cutting it is a write to the disk that a commit has to wait for.
pub(super) const JOURNAL_LIMIT_BYTES: i64 = 8192 * PAGE_BYTES;

/// Other writers are people with `sqlite3`, and commits take milliseconds; the caller tries again.
const WRITER_BUSY: Duration = Duration::from_millis(250);

/// Readers wait for nobody in WAL mode but for a recovery after a crash.
const READER_BUSY: Duration = Duration::from_secs(2);

/// More than there are statements in this module, so that none is prepared twice.
const STATEMENTS: usize = 128;

/// The connection of the one writer.
pub(super) fn writer(path: &Path, vfs: Vfs) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    set_up_writer(&connection).map_err(|source| Error::open(path, source))?;
    Ok(connection)
}

fn set_up_writer(connection: &Connection) -> rusqlite::Result<()> {
    // What turns out to be damaged, or another program's, is closed as it was found.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(WRITER_BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else SQLite plans a statement anew whenever a bound time differs, to look the value up in
    // statistics that this log does not have.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // These two take effect only before the first page is written, hence before WAL. In a file that
    // has pages the second is a write all the same, be it somebody else's file.
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 {
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Switches the log to WAL; the caller has made sure that it is one.
pub(super) fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", JOURNAL_LIMIT_BYTES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    persist_wal(connection)
}

/// A second connection, for checkpoints.
pub(super) fn checkpointer(path: &Path, vfs: Vfs) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    let set_up = || -> rusqlite::Result<()> {
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "cache_size", -CHECKPOINTER_CACHE_KIB)?;
        use_wal(&connection)
    };
    set_up().map_err(|source| Error::open(path, source))?;
    Ok(connection)
}

/// A connection that can't write.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, Vfs::default())?;
    connection
        .busy_timeout(READER_BUSY)
        .map_err(|source| Error::open(path, source))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// A connection that reads and makes no file beside the log, but where a `-wal` has no `-shm`, which nobody
/// could read without one.
pub(super) fn leaving_no_trace(path: &Path) -> Result<Connection, Error> {
    is_plain(path)?;
    let bytes = |suffix| {
        std::fs::metadata(beside(path, suffix))
            .map(|file| file.len())
            .ok()
    };
    match (bytes("-wal"), bytes("-shm")) {
        (Some(_), Some(_)) | (Some(1..), None) => reader(path),
        _ => unchanging(path),
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn unchanging(path: &Path) -> Result<Connection, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let bytes = path.as_os_str().as_bytes().iter();
    let encoded = bytes.map(|b| {
        if plain(*b) {
            char::from(*b).to_string()
        } else {
            format!("%{b:02X}")
        }
    });
    let uri = format!("file:{}?immutable=1", encoded.collect::<String>());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags);
    let connection = connection.map_err(|source| Error::open(path, source))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Without `SQLITE_OPEN_CREATE`, and never more than one thread at a time on a connection.
fn open(path: &Path, access: OpenFlags, vfs: Vfs) -> Result<Connection, Error> {
    is_plain(path)?;
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(path, flags, vfs.0)
        .map_err(|source| Error::open(path, source))
}

/// Refuses a log in whose place, or a companion's, is something else than a plain file. SQLite opens the
/// `-journal` too, before it knows that the log has none.
pub(super) fn is_plain(log: &Path) -> Result<(), Error> {
    // The companions are beside the file itself, wherever a link to it is.
    let real = std::fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = real.clone().into_os_string();
        path.push(suffix);
        let path = PathBuf::from(path);
        if let Some(what) = std::fs::metadata(&path).ok().as_ref().and_then(other_kind) {
            let path = if suffix.is_empty() {
                log.to_owned()
            } else {
                path
            };
            return Err(Error::NotPlain { path, what });
        }
    }
    Ok(())
}

fn persist_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut on = 1;
    connection.file_control(None::<&str>, FileControl::PersistWal(&mut on))
}

/// The step of who asks for it.
pub(super) const DATA_VERSION: &str = "ask whether somebody else wrote";

/// Another number than before says that another connection committed since.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
}
