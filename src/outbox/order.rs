//! What an outbox says of itself that bears on its order: times, ids, the guard, the schema's version.
//!
//! Questions of who wonders whether it was put back, emptied, or given rows out of turn. What follows
//! from the answers is the pipeline's.

use std::ops::RangeInclusive;

use rusqlite::Params;

use super::Error;
use super::definition::Definition;
use super::guards;
use super::tail::{Tail, each};
use crate::model::{EventId, IdRange};

impl Tail {
    /// The highest id up to that one that a row has.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn newest_up_to(&mut self, id: EventId) -> Result<Option<EventId>, Error> {
        self.id("SELECT max(id) FROM main.outbox WHERE id <= ?1", [id])
    }

    /// The id of the first row, in the order of the ids, whose `time` is `time_ms` or later.
    ///
    /// Times need not grow with ids. From this row on is everything that happened since then, and
    /// possibly some that happened before but was written after it: rather too much than too little.
    /// Without an index it reads from the beginning, over a million rows a second.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn first_at_or_after(&mut self, time_ms: i64) -> Result<Option<EventId>, Error> {
        let sql = "SELECT id FROM main.outbox
                   WHERE typeof(time) = 'integer' AND time >= ?1 ORDER BY id LIMIT 1";
        self.id(sql, (time_ms,))
    }

    /// Whether every row there is has a time later than `time_ms`. Ends at the first that has not.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn all_later_than(&mut self, time_ms: i64) -> Result<bool, Error> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM main.outbox
                   WHERE typeof(time) <> 'integer' OR time <= ?1)";
        Ok(self.number(sql, (time_ms,))? == Some(1))
    }

    /// Whether a trigger refuses ids that are not above all before, as that of the schema does. Tried,
    /// by the very trial that says which guards are missing; not where nothing can be tried.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn is_guarded(&mut self) -> Result<bool, Error> {
        Definition::of(&self.connection)
            .and_then(|definition| guards::refuse_ids_below(&self.connection, &definition))
            .map_err(|source| self.read_error(source))
    }

    /// Up to `max_rows` ids of those that rows have, the lowest first.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn ids_between(
        &mut self,
        between: &RangeInclusive<EventId>,
        max_rows: usize,
    ) -> Result<Vec<EventId>, Error> {
        let sql = "SELECT id FROM main.outbox WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3";
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut ids = Vec::new();
        let (first, last) = (between.start(), between.end());
        each(&self.connection, sql, (first, last, limit), |row| {
            ids.push(row.get(0)?);
            Ok(true)
        })
        .map_err(|source| self.read_error(source))?;
        Ok(ids)
    }

    /// Gives those of these ids that rows have, in no order. Reads an index where there is one, for the
    /// rows take long: a tenth of a second for a million.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub(crate) fn ids(
        &mut self,
        ids: IdRange<EventId>,
        mut to: impl FnMut(EventId),
    ) -> Result<(), Error> {
        let sql = "SELECT id FROM main.outbox WHERE +id > ?1 AND +id <= ?2";
        each(&self.connection, sql, (ids.after, ids.up_to), |row| {
            to(row.get(0)?);
            Ok(true)
        })
        .map(drop)
        .map_err(|source| self.read_error(source))
    }

    /// Up to `max_rows` ids up to `last` whose time is later than `time_ms`, the lowest first. Reads
    /// every row there is, over a million a second.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn ids_later_than(
        &mut self,
        time_ms: i64,
        last: EventId,
        max_rows: usize,
    ) -> Result<Vec<EventId>, Error> {
        let sql = "SELECT id FROM main.outbox
                   WHERE id <= ?1 AND typeof(time) = 'integer' AND time > ?2 ORDER BY id LIMIT ?3";
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut ids = Vec::new();
        each(&self.connection, sql, (last, time_ms, limit), |row| {
            ids.push(row.get(0)?);
            Ok(true)
        })
        .map_err(|source| self.read_error(source))?;
        Ok(ids)
    }

    /// A number that every change of the schema raises, and so does a backup that SQLite copies over
    /// the database (`.restore`, `sqlite3_backup`); no INSERT, UPDATE or DELETE does.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn schema_version(&mut self) -> Result<i64, Error> {
        Ok(self.number("PRAGMA main.schema_version", ())?.unwrap_or(0))
    }

    /// Notes that the rows were those that were taken, looked at after the schema had that version.
    /// While it has, this connection reads the same database, which nobody put back.
    pub fn vouch(&mut self, schema_version: i64) {
        self.vouched = Some(schema_version);
    }

    /// The version of the schema at the last [`vouch`](Self::vouch).
    #[must_use]
    pub fn vouched(&self) -> Option<i64> {
        self.vouched
    }

    /// The id that a statement asks for.
    pub(super) fn id(&self, sql: &str, params: impl Params) -> Result<Option<EventId>, Error> {
        Ok(self.number(sql, params)?.map(EventId::new))
    }
}
