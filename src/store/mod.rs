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
mod nodes;
mod order;
mod owed;
mod own;
mod park;
mod passes;
mod pause;
#[cfg(test)]
pub(crate) mod person;
mod place;
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
pub(crate) use nodes::{LEAD, Me, NodeId, NodeRow, NodeShare, NodesLook, Roster, SlotRow};
pub(crate) use postgres::{Brought, Gone, TakenOver};
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
use std::sync::Arc;

use crate::model::{Cursor, LogPlace, Server};

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
/// There is none, it is no log, it is corrupt, or it was written by a newer version; a server is away, or refuses.
pub(crate) fn read_log(place: &LogPlace) -> Result<Box<dyn LogReader>, Error> {
    Ok(match place {
        LogPlace::File(path) => Box::new(Reader::open(path)?),
        LogPlace::Server(server) => Box::new(postgres::Reader::open(server)?),
    })
}

/// The same; `None` where there is none yet. A file in a folder that this user may not enter may be there: opening it
/// says more.
///
/// # Errors
/// As [`read_log`].
pub(crate) fn find_log(place: &LogPlace) -> Result<Option<Box<dyn LogReader>>, Error> {
    match place {
        LogPlace::File(path) if !path.try_exists().unwrap_or(true) => Ok(None),
        LogPlace::Server(server) => match postgres::Reader::find(server)? {
            Some(reader) => Ok(Some(Box::new(reader))),
            None => Ok(None),
        },
        LogPlace::File(_) => read_log(place).map(Some),
    }
}

/// Whether a log's server takes a connection within 5 s; of a log in a file nothing is asked.
///
/// # Errors
/// It does not.
pub(crate) fn meet_log(place: &LogPlace) -> Result<(), Error> {
    match place {
        LogPlace::Server(server) => postgres::Reader::meet(server),
        LogPlace::File(_) => Ok(()),
    }
}

/// The sizes of a log's file and of its WAL, in bytes; of one in PostgreSQL its reader knows more ([`LogReader::bytes`]).
pub(crate) fn log_size(place: &LogPlace) -> (u64, u64) {
    place.file().map_or((0, 0), size)
}

/// How far a log in PostgreSQL has taken its outbox, without making one.
///
/// # Errors
/// The server is away, or refuses; or what is there is no log that is known here.
pub(crate) fn look_at(server: &Arc<Server>) -> Result<Option<Cursor>, Error> {
    postgres::cursor_of(server)
}

/// Makes a log in PostgreSQL where there is none, and brings one of an earlier version to this one's, while nodes of that
/// version go on.
///
/// # Errors
/// The server is away, or refuses; or what is there is no log that is known here. Or somebody reads the log for longer
/// than that waits: then it is what it was.
pub(crate) fn upgrade_log(server: &Arc<Server>) -> Result<Brought, Error> {
    postgres::upgrade(server)
}

/// Makes the tables of a log's days in PostgreSQL, a week ahead, and moves ids on to today's. Blocks.
///
/// # Errors
/// The server is away, or refuses, or somebody is in the way.
pub(crate) fn make_days(server: &Arc<Server>, now_ms: i64) -> Result<(), Error> {
    postgres::make_days(server, now_ms)
}

/// Drops the days of a log in PostgreSQL that are older than `before_ms` and that nothing needs. What somebody reads is
/// waited for, for some seconds, and nobody waits for that. Blocks.
///
/// # Errors
/// As [`make_days`]; what had begun is gone on with by the next call.
pub(crate) fn expire_days(server: &Arc<Server>, before_ms: i64) -> Result<Gone, Error> {
    postgres::expire_days(server, before_ms)
}

/// Drops the oldest day of a log in PostgreSQL that is beyond its bounds; `None`: there is none that may go as a whole.
/// And what came of days. Blocks.
///
/// # Errors
/// As [`expire_days`].
pub(crate) fn shed_days(
    server: &Arc<Server>,
    bounds: &SizeBounds,
    now_ms: i64,
) -> Result<(Option<Shrunk>, Gone), Error> {
    postgres::shed_days(server, bounds, now_ms)
}

/// Takes the log of a stopped machine over into one in PostgreSQL that is empty, or makes that. `told` hears of each
/// chunk what it was of, and how many rows of that there are by now.
///
/// # Errors
/// One of the two can't be read or written, or the server's is not empty: then nothing was taken over.
pub(crate) fn take_over(
    path: &Path,
    server: &Arc<Server>,
    now_ms: i64,
    told: &mut dyn FnMut(&'static str, u64),
) -> Result<TakenOver, Error> {
    postgres::take_over(path, server, now_ms, told)
}

/// Who is there of the nodes of a log in PostgreSQL, and who owns what.
pub(crate) fn roster(server: &Arc<Server>) -> Box<dyn Roster> {
    Box::new(postgres::Table::new(server))
}

/// Opens a log for writing, and makes it where there is none. `node`: by which people know who does, of a log in
/// PostgreSQL.
///
/// # Errors
/// It can't be made or opened, is no log, is corrupt, or was written by a newer version; a server is away, or refuses.
pub(crate) fn write_log(
    place: &LogPlace,
    node: &str,
    now_ms: i64,
) -> Result<Box<dyn LogWriter>, Error> {
    Ok(match place {
        LogPlace::File(path) => Box::new(Store::open(path, now_ms)?),
        LogPlace::Server(server) => Box::new(postgres::Writer::open(server, node, now_ms)?),
    })
}

/// Opens a log that somebody has copied, also where its folder can't be written: without companions it is
/// read as a file that nobody changes.
///
/// # Errors
/// As [`read_log`].
pub(crate) fn read_copy(path: &Path) -> Result<Box<dyn LogReader>, Error> {
    Ok(Box::new(Reader::open_copy(path)?))
}

/// The parts of a [`LogWriter`], for a simulated one.
#[cfg(test)]
pub(crate) mod parts {
    pub(crate) use super::insert::Takes;
    pub(crate) use super::queue::Clamped;
    pub(crate) use super::transition::CameOver;
    pub(crate) use super::turn::InHand;
    pub(crate) use super::withdraw::Cancelled;
    pub(crate) use super::writes::{
        Admits, Obeys, Orders, Pauses, Queues, Records, Retains, Shares, Syncs,
    };
}
