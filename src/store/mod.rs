//! log.db in domain words: admit, queue, record, retention, and the views that people read.
//!
//! The log is the only joint between taking events in and sending them out, and it is one SQLite
//! file in WAL mode. [`Store`] is its one writer: every call is one short transaction, so the caller
//! groups its commits by what it hands over. Nothing here waits, retries, reads a clock, keeps a
//! retry policy or knows the outbox.
//!
//! Invariants: a state is written only by its rules (see [`Store::record`]); the cursor moves only
//! in the transaction that writes what it moved over; while a connection is open, no other
//! descriptor of the file, its `-wal` or its `-shm` is opened by this process, for closing one would
//! drop SQLite's POSIX locks (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).

mod admit;
mod checkpoint;
mod connect;
mod control;
mod create;
mod error;
#[cfg(test)]
pub(crate) mod faults;
mod gaps;
mod look;
mod outlook;
mod owed;
#[cfg(test)]
pub(crate) mod person;
mod place;
mod queue;
mod read;
mod record;
mod retain;
mod rollup;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod webhooks;

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use checkpoint::{Checkpointer, Synchronised, WalState};
pub use control::{Again, Ended, NotAgain, Replay};
pub use error::Error;
pub use look::{Look, look};
pub use outlook::{Failing, Outlook};
pub use queue::Clamped;
pub use read::{
    DeliveryTrace, EventTrace, HourCounts, LastHour, LogFilter, LogRow, LogText, Newest, Reader,
    RejectedTrace, WebhookHealth, WebhookRow,
};
pub use retain::Swept;
pub use schema::sql;

use crate::model::crash;
use error::Doing;

/// Refuses a log in whose place, or a companion's, is something else than a plain file.
///
/// # Errors
/// What is there.
pub fn is_plain(path: &Path) -> Result<(), Error> {
    connect::is_plain(path)
}

/// The one writer of log.db. `Send`, not `Sync`: the caller keeps it in a mutex and calls it from
/// threads that may block. Every call is short, for its arguments bound it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// The roll-up of what was recorded since the last flush.
    tally: rollup::Tally,
    /// Whether something was committed that is not known to be on disk.
    unsynced: bool,
    /// `PRAGMA data_version` as last seen.
    data_version: i64,
    /// Where the clock-step pass goes on.
    clamp: queue::ClampPass,
    /// Where the retention pass goes on.
    sweep: retain::SweepPass,
}

impl Store {
    /// Opens the log, makes it where it is missing (mode 0660), and brings its shape up to date.
    /// Attempts that a crash kept out of the roll-up are counted now.
    ///
    /// # Errors
    /// The file can't be made or opened, is no log, is corrupt, or was written by a newer version.
    pub fn open(path: &Path, now_ms: i64) -> Result<Self, Error> {
        create::create(path)?;
        let mut connection = connect::writer(path)?;
        schema::migrate(&mut connection, path)?;
        let data_version = data_version(&connection)?;
        let mut store = Self {
            connection,
            tally: rollup::Tally::default(),
            unsynced: true,
            data_version,
            clamp: queue::ClampPass::default(),
            sweep: retain::SweepPass::default(),
        };
        store.catch_up(now_ms)?;
        Ok(store)
    }

    /// Whether another connection has committed to the log since the last call (or the opening):
    /// somebody's `INSERT INTO redelivery`, for one. Checkpoints do not count.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn changed(&mut self) -> Result<bool, Error> {
        let now = data_version(&self.connection)?;
        Ok(std::mem::replace(&mut self.data_version, now) != now)
    }

    /// Gives SQLite's page cache back to the allocator; for when there is nothing to do.
    ///
    /// # Errors
    /// SQLite refuses, which it never does for an open connection.
    pub fn release_memory(&self) -> Result<(), Error> {
        self.connection
            .release_memory()
            .doing("give the page cache back")
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
            .doing("count deliveries")
    }

    /// Attempts in the log, for the pipeline's tests.
    #[cfg(test)]
    pub(crate) fn attempts(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT count(*) FROM attempt", [], |row| row.get(0))
            .doing("count attempts")
    }

    /// Runs `work` in one write transaction; nothing of it stays where it fails.
    fn transact<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // IMMEDIATE, so that the wait for another writer is at the start, where the busy time-out works.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(step)?;
        let value = work(&transaction).doing(step)?;
        crash::point(step, crash::BEFORE_COMMIT);
        // Not `doing`: a simulated fault must come before the commit, never in place of its success.
        transaction
            .commit()
            .map_err(|source| Error::Step { step, source })?;
        crash::point(step, crash::COMMITTED);
        #[cfg(test)]
        faults::committed(step);
        self.unsynced = true;
        Ok(value)
    }
}

fn data_version(connection: &Connection) -> Result<i64, Error> {
    connection
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .doing("ask whether somebody else wrote")
}
