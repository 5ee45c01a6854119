//! Events of an outbox once more, by their ids, whatever engine has it.
//!
//! What was taken already is the asker's to know: an id says it in SQLite, and a transaction in PostgreSQL.

use std::path::Path;
use std::sync::Arc;

use super::{Error, Row, Tail, postgres};
use crate::model::{EventId, Server, Snapshot, Vfs};

/// A connection that reads by ids.
pub(crate) enum Past {
    /// Of a file.
    File(Box<Tail>),
    /// Of a server.
    Server(Box<postgres::ById>),
}

/// Some rows, in the order of their ids.
pub(crate) struct PastRows {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// Whether there may be more behind them.
    pub(crate) more: bool,
    /// The transaction of each, in PostgreSQL.
    xids: Option<Vec<i64>>,
}

impl PastRows {
    /// Leaves out what was not taken up to that place of a server; all of a file is told by its ids.
    pub(crate) fn leave_untaken(&mut self, place: Option<&Snapshot>) {
        let Some(xids) = self.xids.take() else { return };
        let taken = place.map(postgres::Taken::up_to);
        let rows = std::mem::take(&mut self.rows).into_iter().zip(xids);
        let is_taken =
            |row: &Row, xid| taken.as_ref().is_some_and(|taken| taken.has(xid, row.id()));
        self.rows = rows
            .filter(|(row, xid)| is_taken(row, *xid))
            .map(|(row, _)| row)
            .collect();
    }

    /// Which of the rows of a server were taken up to a place, in their order; `None`: an id tells it.
    pub(crate) fn taken(&self, place: Option<&Snapshot>) -> Option<Vec<bool>> {
        let taken = place.map(postgres::Taken::up_to);
        let rows = self.rows.iter().zip(self.xids.as_ref()?);
        let is_taken = |(row, xid): (&Row, &i64)| {
            taken
                .as_ref()
                .is_some_and(|taken| taken.has(*xid, row.id()))
        };
        Some(rows.map(is_taken).collect())
    }
}

impl Past {
    /// Opens the outbox of the server, or else of the file.
    ///
    /// # Errors
    /// It can't be opened, or is none.
    pub(crate) fn open(
        server: Option<&Arc<Server>>,
        path: &Path,
        max_data_bytes: usize,
    ) -> Result<Self, Error> {
        Self::open_by(Vfs::default(), server, path, max_data_bytes)
    }

    /// The same, a file by that VFS.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_by(
        vfs: Vfs,
        server: Option<&Arc<Server>>,
        path: &Path,
        max_data_bytes: usize,
    ) -> Result<Self, Error> {
        if let Some(server) = server {
            let tail = postgres::Tail::open(server, max_data_bytes)?;
            return Ok(Self::Server(Box::new(postgres::ById::new(tail))));
        }
        let tail = Tail::open_by(vfs, path, max_data_bytes)?;
        Ok(Self::File(Box::new(tail)))
    }

    /// Waits for the application's transactions, for who reads once and goes.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(crate) fn be_patient(&mut self) -> Result<(), Error> {
        match self {
            Self::File(tail) => tail.be_patient(),
            Self::Server(_) => Ok(()),
        }
    }

    /// Whether the ids follow each other, so that what is between two of them can be counted.
    #[must_use]
    pub(crate) fn counts_by_ids(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The highest id that was given; of a server, that a row has.
    ///
    /// # Errors
    /// The outbox can't be read.
    pub(crate) fn newest(&mut self) -> Result<EventId, Error> {
        match self {
            Self::File(tail) => tail.sequence(),
            Self::Server(by_id) => by_id.newest(),
        }
    }

    /// Behind this id are so many of the newest rows, or fewer where some were deleted.
    ///
    /// # Errors
    /// The outbox can't be read.
    pub(crate) fn below_newest(&mut self, rows: i64) -> Result<EventId, Error> {
        match self {
            Self::File(tail) => Ok(tail.sequence()?.back(rows)),
            Self::Server(by_id) => by_id.below_newest(rows),
        }
    }

    /// The first row in the order of the ids whose time is that or later. From it on is everything that happened since
    /// then, and some that happened before; of a server, but what says that it happened an hour after its INSERT.
    ///
    /// # Errors
    /// The outbox can't be read.
    pub(crate) fn first_at_or_after(&mut self, time_ms: i64) -> Result<Option<EventId>, Error> {
        match self {
            Self::File(tail) => tail.first_at_or_after(time_ms),
            Self::Server(by_id) => by_id.first_at_or_after(time_ms),
        }
    }

    /// The rows with ids above `after`, at most so many, and none after those whose data reach `max_bytes` together.
    ///
    /// # Errors
    /// The outbox can't be read.
    pub(crate) fn read(
        &mut self,
        after: EventId,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<PastRows, Error> {
        Ok(match self {
            Self::File(tail) => {
                let batch = tail.read(after, max_rows, max_bytes)?;
                PastRows {
                    rows: batch.rows,
                    more: batch.more,
                    xids: None,
                }
            }
            Self::Server(by_id) => {
                let read = by_id.read(after, max_rows, max_bytes)?;
                PastRows {
                    rows: read.rows,
                    more: read.more,
                    xids: Some(read.xids),
                }
            }
        })
    }

    /// The row of that id.
    ///
    /// # Errors
    /// The outbox can't be read.
    pub(crate) fn row(&mut self, id: EventId) -> Result<Option<Row>, Error> {
        match self {
            Self::File(tail) => tail.row(id),
            Self::Server(by_id) => by_id.row(id),
        }
    }
}
