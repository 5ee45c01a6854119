//! log.db in domain words: admit, queue, record, retention, and the views that people read.
//!
//! The log is the only joint between taking events in and sending them out, and it is one SQLite
//! file in WAL mode. [`Store`] is its one writer: every call is one short transaction, so the caller
//! groups its commits by what it hands over. What an engine has to keep is said by two traits, [`LogWriter`] for
//! the pipeline and [`LogReader`] for all who ask; SQLite is the one engine. Nothing here waits, retries, reads a clock, keeps a
//! retry policy or knows the outbox.
//!
//! Invariants: a state is written only by its rules (see [`Store::record`]); the cursor moves only
//! in the transaction that writes what it moved over; while a connection is open, no other
//! descriptor of the file, its `-wal` or its `-shm` is opened by this process, for closing one would
//! drop SQLite's POSIX locks (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).

mod admit;
mod announce;
mod asked;
mod batch;
mod bodies;
mod books;
mod checkpoint;
mod connect;
mod control;
mod create;
mod earlier;
mod early;
mod error;
mod faults;
mod fill;
mod formed;
mod gaps;
mod headers;
mod held;
mod holder;
mod ids;
mod insert;
mod look;
mod lost;
mod next;
mod order;
mod owed;
mod own;
mod park;
mod passes;
mod pause;
#[cfg(test)]
pub(crate) mod person;
mod place;
// Nothing opens one yet: what writes such a log is to come first.
#[cfg(test)]
mod postgres;
mod queue;
mod read;
mod record;
mod retain;
mod rollup;
mod room;
mod rows;
mod schema;
mod snapshot;
mod streak;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod texts;
mod traced;
mod transition;
mod turn;
mod wal;
mod webhooks;
mod withdraw;
mod words;
mod writer;
mod writes;

pub(crate) use asked::LogReader;
pub(crate) use checkpoint::{Checkpointer, WalState};
pub(crate) use control::{Again, Ended, RedeliverError, Replay};
pub(crate) use early::{Shrunk, size};
pub(crate) use error::Error;
#[cfg(test)]
pub(crate) use faults::{Faults, Inject, Opening};
pub(crate) use fill::{Fill, SizeBounds};
pub(crate) use look::{Look, look};
pub(crate) use lost::Lost;
#[cfg(test)]
pub(crate) use read::RejectedTrace;
pub(crate) use read::{
    Closely, Count, DeliveryRow, DeliveryTrace, EventTrace, HeldBy, HeldOf, Holder, Holding,
    HourCounts, Lately, LogFilter, LogRow, LogText, MadeFor, Newest, Outcome, StatusIs,
    WebhookHealth, WebhookRow,
};
pub(crate) use retain::Swept;
pub(crate) use room::free;
pub(crate) use schema::sql;
pub(crate) use summary::LastFailure;
pub(crate) use wal::WalBounds;
pub(crate) use withdraw::{CancelError, PendingPage, Withdrawal};
pub use writer::Store;
pub(crate) use writes::LogWriter;

use std::path::Path;

use read::Reader;

/// Refuses a log in whose place, or a companion's, is something else than a plain file.
///
/// # Errors
/// What is there.
pub(crate) fn is_plain(path: &Path) -> Result<(), Error> {
    connect::is_plain(path)
}

/// Opens a log for reading.
///
/// # Errors
/// There is none, it is no log, it is corrupt, or it was written by a newer version.
pub(crate) fn read_log(path: &Path) -> Result<Box<dyn LogReader>, Error> {
    Ok(Box::new(Reader::open(path)?))
}

/// Opens a log that somebody has copied, also where its folder can't be written: without companions it is
/// read as a file that nobody changes.
///
/// # Errors
/// As [`read_log`].
pub(crate) fn read_copy(path: &Path) -> Result<Box<dyn LogReader>, Error> {
    Ok(Box::new(Reader::open_copy(path)?))
}
