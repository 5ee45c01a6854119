//! Checkpoints: copying the WAL into the file, mostly outside of the committing thread.
//!
//! No connection checkpoints by itself here. [`Checkpointer::passive`] copies while the writer goes
//! on; it never blocks it, so under steady load some frames are always newer than it. SQLite does not count those: what
//! it says is left is what a reader kept of the WAL as it was when the checkpoint began. So the WAL is looked at once
//! more behind each. It starts over only when a commit finds all of it copied: then the caller runs
//! [`Store::checkpoint`] right after, under its lock, when little is left. FULL, RESTART and TRUNCATE are never asked
//! for.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::faults::{DoingWith as _, Faults, Opening};
use super::fill::{Fill, SizeBounds};
use super::place::Place;
use super::wal::{self, WalBounds};
use super::{Error, Store, connect};
use crate::model::crash;

/// How long the WAL is, in pages of 8 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalState {
    /// Pages in it since it last started over.
    pub pages: u64,
    /// Those of them that are not in the file yet: 0 means that the next commit starts over.
    pub left: u64,
    /// Those of them that a checkpoint found and could not copy: a reader needs the file as it is.
    pub kept: u64,
}

/// Each round leaves what was written during the one before, so it is less and less.
const ROUNDS: usize = 4;

/// A WAL of 128 MiB of which a reader keeps something is held by that: without one it starts over at a quarter of
/// that.
const HELD_PAGES: u64 = 16_384;

impl WalState {
    /// Its length in bytes where a reader keeps it from starting over; else 0.
    #[must_use]
    pub fn held_bytes(self) -> u64 {
        if self.kept > 0 && self.pages >= HELD_PAGES {
            self.pages * wal::PAGE
        } else {
            0
        }
    }

    /// Whether it can start over and would be cut then: a commit does both.
    #[must_use]
    pub fn wants_cut(self, bounds: WalBounds) -> bool {
        self.left == 0 && self.pages > bounds.cut
    }

    /// Whether it is long and something of it is left: to be looked at again, also if nobody commits.
    #[must_use]
    pub fn is_unfinished(self, bounds: WalBounds) -> bool {
        self.left > 0 && self.pages >= bounds.long
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
    bounds: WalBounds,
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
            bounds: WalBounds::default(),
        })
    }

    /// Goes by these bounds from now on.
    pub fn bound(&mut self, bounds: WalBounds) {
        self.bounds = bounds;
    }

    /// How long the WAL is; copies nothing, some microseconds.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn state(&mut self) -> Result<WalState, Error> {
        let state = checkpoint(
            &self.connection,
            &self.faults,
            "PRAGMA wal_checkpoint(NOOP)",
        )?;
        Ok(WalState { kept: 0, ..state })
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
        let mut seen = self.passive()?;
        // SQLite syncs the WAL only where it copies something of it: a reader that holds an old
        // state, or one that keeps the file itself busy, can prevent both.
        let copied = |state: WalState| state.pages - state.left;
        let durable = seen.left == 0 || seen.pages < before.pages || copied(seen) > copied(before);
        let mut after = self.state()?;
        for _ in 0..ROUNDS {
            let bounds = self.bounds;
            // A small log has no room for what is written during more of them.
            let is_full = bounds.most < wal::MOST_PAGES && after.pages >= bounds.most;
            if after.pages < bounds.long || after.left <= bounds.little || is_full {
                break;
            }
            seen = self.passive()?;
            after = self.state()?;
        }
        after.kept = seen.left;
        self.place.check()?;
        let bounds = self.bounds;
        let restart = after.pages >= bounds.long
            && after.left > 0
            && (after.left <= bounds.little || after.pages >= bounds.most);
        Ok(Synchronised {
            durable,
            restart,
            state: after,
        })
    }

    /// Copies what can be copied without waiting for anybody, and says what it left of the WAL that it found. Blocks
    /// for the disk.
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
        let state = checkpoint(
            &self.connection,
            &self.faults,
            "PRAGMA wal_checkpoint(PASSIVE)",
        )?;
        self.look_how_full();
        Ok(state)
    }
}

impl Store {
    /// How long the WAL may get.
    #[must_use]
    pub fn wal_bounds(&self) -> WalBounds {
        self.wal
    }

    /// Cuts the WAL to these bounds from now on, whenever it starts over.
    ///
    /// # Errors
    /// SQLite refuses, which it never does for an open connection.
    pub fn bound_wal(&mut self, bounds: WalBounds) -> Result<(), Error> {
        let bytes = i64::try_from(bounds.cut_bytes()).unwrap_or(i64::MAX);
        self.connection
            .pragma_update_and_check(None, "journal_size_limit", bytes, |_| Ok(()))
            .doing_with(&self.faults, "set how long the WAL may be")?;
        self.wal = bounds;
        Ok(())
    }

    /// From now on looks after each commit how full the log is by these bounds; `None`: it is never full.
    pub fn limit_size(&mut self, bounds: Option<SizeBounds>) {
        (self.size, self.fill) = (bounds, Fill::default());
        self.look_how_full();
    }

    /// How full it was after the last commit.
    #[must_use]
    pub fn fill(&self) -> Fill {
        self.fill
    }

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
    let left = u64::try_from(pages - copied).unwrap_or(0);
    Ok(WalState {
        pages: u64::try_from(pages).unwrap_or(0),
        left,
        kept: left,
    })
}
