//! Checkpoints: copying the WAL into the file, mostly outside of the committing thread.
//!
//! No connection checkpoints by itself here. [`Checkpointer::passive`] copies while the writer goes
//! on; it never blocks it, so under steady load some frames are always newer than it. The WAL starts
//! over only when a commit finds all of it copied: then the caller runs [`Store::checkpoint`] right
//! after, under its lock, when little is left. FULL, RESTART and TRUNCATE are never asked for.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::error::Doing;
use super::{Error, Store, connect};

/// How long the WAL is, in pages of 8 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalState {
    /// Pages in it since it last started over.
    pub pages: u64,
    /// Those of them that are not in the file yet: 0 means that the next commit starts over.
    pub left: u64,
}

/// A second connection, which only copies the WAL into the file.
#[derive(Debug)]
pub struct Checkpointer {
    connection: Connection,
}

impl Checkpointer {
    /// Opens a log that a [`Store`] has opened.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect::checkpointer(path)?;
        Ok(Self { connection })
    }

    /// How long the WAL is; copies nothing, some microseconds.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn state(&mut self) -> Result<WalState, Error> {
        checkpoint(&self.connection, "PRAGMA wal_checkpoint(NOOP)")
    }

    /// Copies what can be copied without waiting for anybody. Blocks for the disk.
    ///
    /// # Errors
    /// The log can't be read or written; the WAL keeps what it has.
    pub fn passive(&mut self) -> Result<WalState, Error> {
        checkpoint(&self.connection, "PRAGMA wal_checkpoint(PASSIVE)")
    }
}

impl Store {
    /// Copies what can be copied without waiting for readers. While the caller holds the store
    /// nobody commits, so nothing is left unless a reader still needs the old state.
    ///
    /// # Errors
    /// The log can't be read or written; the WAL keeps what it has.
    pub fn checkpoint(&mut self) -> Result<WalState, Error> {
        checkpoint(&self.connection, "PRAGMA wal_checkpoint(PASSIVE)")
    }
}

fn checkpoint(connection: &Connection, pragma: &str) -> Result<WalState, Error> {
    // A row of busy, pages, copied pages; both -1 where the file is in no WAL mode.
    let row: Option<(i64, i64)> = connection
        .prepare_cached(pragma)
        .and_then(|mut statement| {
            statement
                .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
                .optional()
        })
        .doing("copy the WAL into the file")?;
    let (pages, copied) = row.unwrap_or((0, 0));
    Ok(WalState {
        pages: u64::try_from(pages).unwrap_or(0),
        left: u64::try_from(pages - copied).unwrap_or(0),
    })
}
