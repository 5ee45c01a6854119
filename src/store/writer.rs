//! The log's one writer: how it is opened, and the one way in which it commits.
//!
//! Left out: what it writes. Each kind of it has a file of its own beside this one.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::books::Books;
use super::connect::{self, DATA_VERSION, data_version};
use super::error::{Doing, Error};
use super::faults::{DoingWith as _, Faults, Opening};
use super::fill::{self, Fill, SizeBounds};
use super::lost::Lost;
use super::own::Own;
use super::passes::{ClampPass, EarlierPass, EarlyPass, SweepPass};
use super::streak::Streaks;
use super::tally::Tally;
use super::turn::Turns;
use super::wal::WalBounds;
use super::{create, schema};
use crate::model::{Bodies, DeliveryId, LogId, crash};

/// The one writer of log.db. `Send`, not `Sync`: the caller keeps it in a mutex and calls it from
/// threads that may block. Every call is short, for its arguments bound it.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    /// None, but in a simulation.
    pub(super) faults: Faults,
    /// What is known by heart of the tables of names and texts.
    pub(super) books: Books,
    /// Whether something that is queued is in nobody's hands.
    pub(super) lost: Lost,
    /// The roll-up of what was recorded since the last flush.
    pub(super) tally: Tally,
    /// Whether something was committed that is not known to be on disk. Every commit raises it.
    pub(super) unsynced: bool,
    /// `PRAGMA data_version` as last seen.
    pub(super) data_version: i64,
    /// Where the clock-step pass goes on.
    pub(super) clamp: ClampPass,
    /// Where the retention pass goes on.
    pub(super) sweep: SweepPass,
    /// Where the work of a log of the shape before comes over.
    pub(super) coming_over: EarlierPass,
    /// Where the look for what goes early goes on.
    pub(super) early: EarlyPass,
    /// Who fails, and pauses itself.
    pub(super) streaks: Streaks,
    /// Who has an order, and whose turn it is.
    pub(super) turns: Turns,
    /// Who tells of what happens here, and whom.
    pub(super) own: Own,
    /// Deliveries that were given up because they can't be read, since it was asked last.
    pub(super) unreadable: Vec<DeliveryId>,
    /// Whose bodies stay.
    pub(super) bodies: Bodies,
    /// How long the WAL may get.
    pub(super) wal: WalBounds,
    /// How large it may be, where that is limited.
    pub(super) size: Option<SizeBounds>,
    /// How full it was after the last commit.
    pub(super) fill: Fill,
    pub(super) log_id: LogId,
}

impl Store {
    /// Opens the log, makes it where it is missing (mode 0660), and brings its shape up to date.
    /// Attempts that a crash kept out of the roll-up are counted now.
    ///
    /// # Errors
    /// The file can't be made or opened, is no log, is corrupt, or was written by a newer version.
    pub fn open(path: &Path, now_ms: i64) -> Result<Self, Error> {
        Self::open_with(Opening::default(), path, now_ms)
    }

    /// The same, by another VFS or with faults.
    pub(crate) fn open_with(opening: Opening, path: &Path, now_ms: i64) -> Result<Self, Error> {
        let Opening { vfs, faults } = opening;
        create::create(path)?;
        let mut connection = connect::writer(path, vfs)?;
        schema::migrate(&mut connection, path)?;
        let data_version = data_version(&connection).doing_with(&faults, DATA_VERSION)?;
        let turns = Turns::look(&connection).doing_with(&faults, "look who has the turn")?;
        let log_id = log_id(&connection).doing_with(&faults, "read the log's own id")?;
        let mut store = Self {
            connection,
            faults,
            books: Books::default(),
            lost: Lost::default(),
            tally: Tally::default(),
            unsynced: true,
            data_version,
            clamp: ClampPass::default(),
            sweep: SweepPass::default(),
            coming_over: EarlierPass::default(),
            early: EarlyPass::default(),
            streaks: Streaks::default(),
            turns,
            own: Own::default(),
            unreadable: Vec::new(),
            bodies: Bodies::default(),
            wal: WalBounds::default(),
            size: None,
            fill: Fill::default(),
            log_id,
        };
        store.lost.tell();
        store.catch_up(now_ms)?;
        Ok(store)
    }

    /// What tells this log from others.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Whether another connection has committed to the log since the last call (or the opening):
    /// somebody's `INSERT INTO redelivery`, for one. Checkpoints do not count.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn changed(&mut self) -> Result<bool, Error> {
        let now = data_version(&self.connection).doing_with(&self.faults, DATA_VERSION)?;
        Ok(std::mem::replace(&mut self.data_version, now) != now)
    }

    /// Gives SQLite's page cache back to the allocator; for when there is nothing to do.
    ///
    /// # Errors
    /// SQLite refuses, which it never does for an open connection.
    pub fn release_memory(&self) -> Result<(), Error> {
        self.connection
            .release_memory()
            .doing_with(&self.faults, "give the page cache back")
    }

    /// Whether something was committed that is not known to be on disk.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Says so: false before a [`Checkpointer`](super::Checkpointer) begins to synchronise what was committed, true where it
    /// could not.
    pub fn set_unsynced(&mut self, unsynced: bool) {
        self.unsynced = unsynced;
    }

    /// Deliveries by state, for the pipeline's tests.
    #[cfg(test)]
    pub(crate) fn states(&self) -> Result<Vec<(String, i64)>, Error> {
        self.connection
            .prepare("SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state")
            .and_then(|mut s| {
                s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .doing_with(&self.faults, "count deliveries")
    }

    /// Attempts in the log, for the pipeline's tests.
    #[cfg(test)]
    pub(crate) fn attempts(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT count(*) FROM attempt", [], |row| row.get(0))
            .doing_with(&self.faults, "count attempts")
    }

    /// Runs `work` in one write transaction, with what is known by heart.
    pub(super) fn transact_by_heart<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>, &mut Books) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let mut books = std::mem::take(&mut self.books);
        let done = self.transact(step, |t| work(t, &mut books));
        if done.is_ok() {
            self.books = books;
        }
        done
    }

    /// Runs `work` in one write transaction; nothing of it stays where it fails.
    pub(super) fn transact<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // IMMEDIATE, so that the wait for another writer is at the start, where the busy time-out works.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing_with(&self.faults, step)?;
        let value = work(&transaction).doing_with(&self.faults, step)?;
        crash::point(step, crash::BEFORE_COMMIT);
        // Without the faults: a simulated one must come before the commit, never in place of its success.
        transaction.commit().doing(step)?;
        crash::point(step, crash::COMMITTED);
        self.faults.committed(step);
        self.unsynced = true;
        self.look_how_full();
        Ok(value)
    }

    /// Takes note of how full the log is. What does not answer is asked again after the next commit.
    pub(super) fn look_how_full(&mut self) {
        if let Some(bounds) = &self.size
            && let Ok(fill) = fill::of(&self.connection, bounds)
        {
            self.fill = fill;
        }
    }
}

/// Without the row, which only a hand can have taken away, it is a log like another.
fn log_id(connection: &Connection) -> rusqlite::Result<LogId> {
    let id = connection.query_row("SELECT id FROM log_id WHERE one = 1", [], |row| row.get(0));
    Ok(LogId(id.optional()?.unwrap_or_default()))
}
