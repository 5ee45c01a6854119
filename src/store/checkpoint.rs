//! Checkpoints: copying the WAL into the file, mostly outside of the committing thread.
//!
//! No connection checkpoints by itself here. [`Checkpointer::passive`] copies while the writer goes
//! on; it never blocks it, so under steady load some frames are always newer than it. The WAL starts
//! over only when a commit finds all of it copied: then the caller runs [`Store::checkpoint`] right
//! after, under its lock, when little is left. FULL, RESTART and TRUNCATE are never asked for.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::faults::{DoingWith as _, Faults, Opening};
use super::place::Place;
use super::{Error, Store, connect};
use crate::model::crash;

/// How long the WAL is, in pages of 8 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalState {
    /// Pages in it since it last started over.
    pub pages: u64,
    /// Those of them that are not in the file yet: 0 means that the next commit starts over.
    pub left: u64,
}

/// A WAL of 32 MiB is to start over; a shorter one costs nobody anything.
const LONG_PAGES: u64 = 4_096;

/// So much may be left, 4 MiB, when the writer is stopped for the rest: some milliseconds.
const LITTLE_PAGES: u64 = 512;

/// A WAL of 512 MiB starts over even where much is left: a pause is better than a full disk.
const MOST_PAGES: u64 = 65_536;

/// Each round leaves what was written during the one before, so it is less and less.
const ROUNDS: usize = 4;

/// A WAL of 128 MiB of which something is left is held by a reader, or by a disk that can't keep up:
/// without either it starts over at a quarter of that.
const HELD_PAGES: u64 = 16_384;

impl WalState {
    /// Its length in bytes where a reader keeps it from starting over; else 0.
    #[must_use]
    pub fn held_bytes(self) -> u64 {
        if self.left > 0 && self.pages >= HELD_PAGES {
            self.pages * connect::PAGE_BYTES.unsigned_abs()
        } else {
            0
        }
    }

    /// Whether it can start over and would be cut then: a commit does both.
    #[must_use]
    pub fn wants_cut(self) -> bool {
        let limit = connect::JOURNAL_LIMIT_BYTES / connect::PAGE_BYTES;
        self.left == 0 && self.pages > limit.unsigned_abs()
    }

    /// Whether it is long and something of it is left: to be looked at again, also if nobody commits.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        self.left > 0 && self.pages >= LONG_PAGES
    }
}

/// What a synchronisation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synchronised {
    /// Every commit made before it is on disk.
    pub durable: bool,
    /// The WAL is long and little of it is left: [`Store::checkpoint`] makes it start over.
    pub restart: bool,
    /// How long the WAL is now.
    pub state: WalState,
}

/// A second connection, which only copies the WAL into the file.
#[derive(Debug)]
pub struct Checkpointer {
    connection: Connection,
    faults: Faults,
    place: Place,
}

impl Checkpointer {
    /// Opens a log that a [`Store`] has opened.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(Opening::default(), path)
    }

    /// The same, by another VFS or with faults.
    pub(crate) fn open_with(opening: Opening, path: &Path) -> Result<Self, Error> {
        let connection = connect::checkpointer(path, opening.vfs)?;
        Ok(Self {
            connection,
            faults: opening.faults,
            place: Place::of(path),
        })
    }

    /// How long the WAL is; copies nothing, some microseconds.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn state(&mut self) -> Result<WalState, Error> {
        checkpoint(
            &self.connection,
            &self.faults,
            "PRAGMA wal_checkpoint(NOOP)",
        )
    }

    /// Copies the WAL into the file beside the writer, which begins by having the disk keep the WAL:
    /// every commit made before the call is on disk after it. Where the WAL is long it goes on, some
    /// rounds, until little is left that a writer would have to be stopped for.
    ///
    /// # Errors
    /// The log can't be read or written; the WAL keeps what it has. Or it was done, in files that
    /// are no longer the log's.
    pub fn synchronise(&mut self) -> Result<Synchronised, Error> {
        let before = self.state()?;
        let mut after = self.passive()?;
        // SQLite syncs the WAL only where it copies something of it: a reader that holds an old
        // state, or one that keeps the file itself busy, can prevent both.
        let copied = |state: WalState| state.pages - state.left;
        let durable =
            after.left == 0 || after.pages < before.pages || copied(after) > copied(before);
        for _ in 0..ROUNDS {
            if after.pages < LONG_PAGES || after.left <= LITTLE_PAGES {
                break;
            }
            after = self.passive()?;
        }
        self.place.check()?;
        let restart = after.pages >= LONG_PAGES
            && after.left > 0
            && (after.left <= LITTLE_PAGES || after.pages >= MOST_PAGES);
        Ok(Synchronised {
            durable,
            restart,
            state: after,
        })
    }

    /// Copies what can be copied without waiting for anybody. Blocks for the disk.
    ///
    /// # Errors
    /// The log can't be read or written; the WAL keeps what it has.
    pub fn passive(&mut self) -> Result<WalState, Error> {
        checkpoint(
            &self.connection,
            &self.faults,
            "PRAGMA wal_checkpoint(PASSIVE)",
        )
    }
}

impl Store {
    /// Copies what can be copied without waiting for readers. While the caller holds the store
    /// nobody commits, so nothing is left unless a reader still needs the old state.
    ///
    /// # Errors
    /// The log can't be read or written; the WAL keeps what it has.
    pub fn checkpoint(&mut self) -> Result<WalState, Error> {
        crash::point("synchronise", "before the WAL starts over");
        checkpoint(
            &self.connection,
            &self.faults,
            "PRAGMA wal_checkpoint(PASSIVE)",
        )
    }
}

impl Store {
    /// Commits nothing in particular, so that a WAL that was copied whole starts over and is cut to
    /// its limit though nobody else commits.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn start_wal_over(&mut self) -> Result<(), Error> {
        self.transact("start the WAL over", |t| {
            let version: i64 = t.pragma_query_value(None, "user_version", |row| row.get(0))?;
            t.pragma_update(None, "user_version", version)
        })
    }
}

fn checkpoint(connection: &Connection, faults: &Faults, pragma: &str) -> Result<WalState, Error> {
    // A row of busy, pages, copied pages; both -1 where the file is in no WAL mode.
    let row: Option<(i64, i64)> = connection
        .prepare_cached(pragma)
        .and_then(|mut statement| {
            statement
                .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
                .optional()
        })
        .doing_with(faults, "copy the WAL into the file")?;
    let (pages, copied) = row.unwrap_or((0, 0));
    Ok(WalState {
        pages: u64::try_from(pages).unwrap_or(0),
        left: u64::try_from(pages - copied).unwrap_or(0),
    })
}
