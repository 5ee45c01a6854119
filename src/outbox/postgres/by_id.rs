//! Reading rows once more, by their ids: for who wants events again, or to judge them.
//!
//! It says nothing of what is new: a row may be committed behind one that was read (`tail`).

use tokio_postgres::types::Type;

use super::batch::judged;
use super::tail::{Tail, first_id_of};
use crate::model::{EventId, Snapshot};
use crate::outbox::row::LOADED_NAME_BYTES;
use crate::outbox::{Error, Row};

/// An event may say that it happened so long after its row was inserted, and is found by that time all the same. An id
/// is the time of the INSERT, so that no more of the table is looked through.
const AHEAD_MS: i64 = 3_600_000;

/// Reads by ids.
pub(crate) struct ById {
    tail: Tail,
    /// So many rows are asked for: fewer where they are large, for the server loads them all.
    rows: usize,
}

/// Some rows.
pub(crate) struct Rows {
    /// In the order of their ids.
    pub(crate) rows: Vec<Row>,
    /// The transaction of each.
    pub(crate) xids: Vec<i64>,
    /// Whether there may be more behind them.
    pub(crate) more: bool,
}

impl ById {
    /// By that connection.
    #[must_use]
    pub(crate) fn new(tail: Tail) -> Self {
        let rows = usize::MAX;
        Self { tail, rows }
    }

    /// Whether a place is one of this server and database.
    #[must_use]
    pub(crate) fn is_of(&self, place: &Snapshot) -> bool {
        self.tail.is_of(place)
    }

    /// The row of that id.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn row(&mut self, id: EventId) -> Result<Option<Row>, Error> {
        self.tail.row(id)
    }

    /// The rows with ids above `after`, at most so many (at least one), and none after those whose data reach `max_bytes`
    /// together.
    ///
    /// # Errors
    /// [`Error::Server`]: after any of them one connects anew.
    pub(crate) fn read(
        &mut self,
        after: EventId,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Rows, Error> {
        const STEP: &str = "read rows again";
        let tail = &self.tail;
        let asked = self.rows.min(max_rows).max(1);
        let limit = i64::try_from(asked).unwrap_or(i64::MAX);
        let name_bytes = i32::try_from(LOADED_NAME_BYTES).unwrap_or(i32::MAX);
        let data_bytes = tail.judge.loaded_data_bytes();
        let all_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let values: [_; 5] = [
            (&after.get() as _, Type::INT8),
            (&limit as _, Type::INT8),
            (&name_bytes as _, Type::INT4),
            (&data_bytes as _, Type::INT8),
            (&all_bytes as _, Type::INT8),
        ];
        let found = tail.link.rows(STEP, &tail.sql.by_id, &values);
        let found = found.map_err(Error::Server)?;
        let (mut rows, mut xids, mut name, mut there) = (Vec::new(), Vec::new(), None, 0_i64);
        for row in &found {
            let read = || {
                let (there, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let xid: &str = row.try_get(2)?;
                Ok((there, id, xid.parse().unwrap_or(i64::MAX)))
            };
            let read: Result<_, tokio_postgres::Error> = read();
            let (all, id, xid) = read.map_err(|error| tail.failed(STEP, error))?;
            let row = judged(tail.judge, id, row, 3, &mut name);
            rows.push(row.map_err(|error| tail.failed(STEP, error))?);
            xids.push(xid);
            there = all;
        }
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let is_cut = rows.len() < there;
        self.rows = match is_cut {
            true => rows.len() * 2,
            false => asked.saturating_mul(4),
        };
        Ok(Rows {
            more: is_cut || there == asked,
            rows,
            xids,
        })
    }

    /// The highest id that a row has; 0 without rows.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn newest(&mut self) -> Result<EventId, Error> {
        self.below_newest(0)
    }

    /// The id of the row that has so many newer ones; 0 where there are not as many.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn below_newest(&mut self, rows: i64) -> Result<EventId, Error> {
        let values: [_; 1] = [(&rows as _, Type::INT8)];
        let sql = &self.tail.sql.nth;
        let id = self.tail.value("look for the newest rows", sql, &values)?;
        Ok(EventId::new(id.unwrap_or(0)))
    }

    /// The first row, by its id, of which its time says so, or one before it.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn first_at_or_after(&mut self, time_ms: i64) -> Result<Option<EventId>, Error> {
        let from = first_id_of(time_ms.saturating_sub(AHEAD_MS)).get();
        let values: [_; 2] = [(&from as _, Type::INT8), (&time_ms as _, Type::INT8)];
        let sql = &self.tail.sql.since;
        let id = self.tail.value("look for the first row", sql, &values)?;
        Ok(id.map(EventId::new))
    }
}
