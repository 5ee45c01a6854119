//! Reading an outbox in PostgreSQL: what a snapshot had not seen, window by window.
//!
//! A window is what one snapshot sees and the last did not. Its rows come in the order of (xid, id): within a
//! transaction as they were inserted, and a transaction that began its first write after another's commit
//! behind that one. Where the window has more rows than one read takes, it stays open, and the reads that
//! follow are of the same window, whatever is committed meanwhile. It knows nothing of the log: how far was
//! taken is an argument, and so is what comes of it.

use std::sync::Arc;

use tokio_postgres::Row as Found;
use tokio_postgres::types::Type;

use super::batch::{Batch, judged};
use super::facts::Facts;
use super::reader::OTHERS;
use super::seen::{end_of, up_to};
use super::sql::{ROWS, Sql};
use super::start::Start;
use super::still::{Moment, Still};
use crate::model::{EventId, Server, Snapshot};
use crate::outbox::row::{Judge, LOADED_NAME_BYTES};
use crate::outbox::{Error, Finding, Row};
use crate::postgres::{Link, Value, Waiting};
use crate::postgres::{Trouble, What};

/// Bytes of `data` in one batch, so that large events cost no more memory than small ones.
const BATCH_BYTES: i64 = 4 << 20;

/// The first id of a millisecond, since 2026: the trigger's arithmetic.
const IDS_A_MS: i64 = 4_096;
const EPOCH_IDS: i64 = 7_238_556_057_600_000;

/// The values of the doorbell's sequence: its trigger knows the second.
const AWAKE: i64 = 1;
const ASLEEP: i64 = 2;

/// A connection that reads the outbox.
pub(crate) struct Tail {
    pub(super) link: Link,
    facts: Facts,
    pub(super) sql: Sql,
    pub(super) judge: Judge,
    /// The last look found nothing: most likely the next does not either.
    was_empty: bool,
    still: Still,
}

impl Tail {
    /// Connects, and looks at what is there.
    ///
    /// # Errors
    /// [`Error::Server`]: the server is away, or something is wrong with it, the table or this user's rights.
    pub(crate) fn open(server: &Arc<Server>, max_data_bytes: usize) -> Result<Self, Error> {
        let link = Link::open(server).map_err(Error::Server)?;
        Self::over(link, max_data_bytes)
    }

    /// The same; that it waits is told each second, of this and of each answer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_telling(
        server: &Arc<Server>,
        max_data_bytes: usize,
        waiting: Waiting,
    ) -> Result<Self, Error> {
        let link = Link::telling(server, waiting).map_err(Error::Server)?;
        Self::over(link, max_data_bytes)
    }

    /// From now on that it waits is told.
    pub(crate) fn tell(&mut self, waiting: Waiting) {
        self.link.tell(waiting);
    }

    fn over(link: Link, max_data_bytes: usize) -> Result<Self, Error> {
        let facts = Facts::of(&link).map_err(Error::Server)?;
        let judge = Judge {
            max_data_bytes,
            utf16: false,
        };
        let tail = Self {
            sql: Sql::new(&facts),
            link,
            facts,
            judge,
            was_empty: false,
            still: Still::default(),
        };
        if tail.value("look for rows of another server", &tail.sql.foreign, &[])? == Some(true) {
            return Err(Error::Server(Trouble::new(
                &tail.link.server,
                What::Restored,
            )));
        }
        Ok(tail)
    }

    /// Takes another limit for the longest `data` that makes an event.
    pub(crate) fn limit_data(&mut self, max_data_bytes: usize) {
        self.judge.max_data_bytes = max_data_bytes;
    }

    /// A place of this server from which `seen`, a `pg_snapshot`, was taken.
    #[must_use]
    pub(crate) fn place(&self, seen: impl Into<String>, since: EventId) -> Snapshot {
        Snapshot {
            system: self.facts.system.clone(),
            timeline: self.facts.timeline.clone(),
            seen: seen.into(),
            since,
            ..Snapshot::default()
        }
    }

    /// Whether a place is one of this server and database.
    #[must_use]
    pub(crate) fn is_of(&self, place: &Snapshot) -> bool {
        place.system == self.facts.system
    }

    /// The rows behind a place, some of them where they are many.
    ///
    /// # Errors
    /// [`Error::Server`]: after any of them one connects anew.
    pub(crate) fn read(&mut self, from: &Snapshot) -> Result<Batch, Error> {
        let name_bytes = i32::try_from(LOADED_NAME_BYTES).unwrap_or(i32::MAX);
        let data_bytes = self.judge.loaded_data_bytes();
        let start = Start::of(from);
        if self.was_empty && !start.is_late() && from.window.is_empty() {
            let mut still = std::mem::take(&mut self.still);
            let behind = (&start, from.since);
            let moment = still.none_behind(behind, &self.sql.any, |sql, values| {
                self.moment(sql, values)
            })?;
            self.still = still;
            if let Some(moment) = moment {
                return Ok(Batch {
                    window: moment.snapshot,
                    timeline: moment.timeline,
                    ends: true,
                    ..Batch::default()
                });
            }
        }
        let sql = self.sql.read.of(from.window.is_empty(), start.is_late());
        let since = from.since.get();
        let mut values = start.values();
        values.extend([
            (&since as _, Type::INT8),
            (&from.window as _, Type::TEXT),
            (&name_bytes as _, Type::INT4),
            (&data_bytes as _, Type::INT8),
            (&BATCH_BYTES as _, Type::INT8),
        ]);
        let found = self.link.rows("read rows", sql, &values);
        let found = found.map_err(Error::Server)?;
        let batch = self.batch(&found, from);
        let batch = batch.map_err(|error| self.failed("read rows", error))?;
        self.check_timeline(&batch.timeline)?;
        self.was_empty = batch.rows.is_empty() && batch.ends;
        Ok(batch)
    }

    /// There is something, as far as is known: the next read asks for it alone, and not first whether there is.
    pub(crate) fn expect_rows(&mut self) {
        self.was_empty = false;
    }

    /// What a statement finds that begins with a moment, and what it asks beside it.
    fn moment(&self, sql: &str, values: &[Value<'_>]) -> Result<(Moment, bool), Error> {
        const STEP: &str = "look for rows";
        let found = self.link.rows(STEP, sql, values).map_err(Error::Server)?;
        let read = |row: &Found| Ok((Moment::of(row)?, row.len() > 3 && row.try_get(3)?));
        let read = found.first().map(read).transpose();
        let read = read.map_err(|error| self.failed(STEP, error))?;
        let (moment, any) = read.unwrap_or_default();
        self.check_timeline(&moment.timeline)?;
        Ok((moment, any))
    }

    /// A pooler stays connected where the server behind it is exchanged.
    fn check_timeline(&self, timeline: &str) -> Result<(), Error> {
        match timeline == self.facts.timeline {
            true => Ok(()),
            false => Err(Error::Server(Trouble::new(
                &self.link.server,
                What::Exchanged,
            ))),
        }
    }

    fn batch(&self, found: &[Found], from: &Snapshot) -> Result<Batch, tokio_postgres::Error> {
        let mut batch = Batch {
            window: from.window.clone(),
            ..Batch::default()
        };
        let mut places = Vec::with_capacity(found.len());
        for row in found {
            if batch.window.is_empty() {
                batch.window = row.try_get(0)?;
            }
            batch.timeline = row.try_get(1)?;
            if let Some(id) = row.try_get::<_, Option<i64>>(3)? {
                let xid: &str = row.try_get(4)?;
                places.push((xid.parse().unwrap_or(i64::MAX), id, row));
            }
        }
        // As a rule they are in their order, and nobody has to sort what they carry.
        places.sort_by_key(|(xid, id, _)| (*xid, *id));
        let (mut name, mut more) = (None, false);
        for (xid, id, row) in places {
            more = row.try_get(2)?;
            batch.last = Some((xid, EventId::new(id)));
            batch.xids.push(xid);
            batch.rows.push(judged(self.judge, id, row, 5, &mut name)?);
        }
        batch.ends = batch.rows.len() < ROWS && !more;
        Ok(batch)
    }

    /// Whether the server is not the one that a place is of any more: another took over, or it went back.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn has_turned(&mut self, place: &Snapshot) -> Result<bool, Error> {
        if place.timeline_now() != self.facts.timeline {
            return Ok(true);
        }
        Ok(end_of(&self.now()?) < end_of(&place.seen))
    }

    /// Behind the last row that can have been taken up to a place, for [`Tail::below`].
    #[must_use]
    pub(crate) fn top_of(&self, place: &Snapshot) -> (i64, EventId) {
        let end = end_of(&place.seen).max(end_of(&place.window));
        (i64::try_from(end).unwrap_or(i64::MAX), EventId::NONE)
    }

    /// The newest rows below a transaction and an id, with ids from `since` on, the newest first.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn below(
        &mut self,
        (xid, id): (i64, EventId),
        since: EventId,
    ) -> Result<Vec<(i64, EventId)>, Error> {
        const STEP: &str = "look for rows that were taken";
        let xid = xid.to_string();
        let values: [_; 3] = [
            (&xid as _, Type::TEXT),
            (&id.get() as _, Type::INT8),
            (&since.get() as _, Type::INT8),
        ];
        let found = self.link.rows(STEP, &self.sql.below, &values);
        let found = found.map_err(Error::Server)?;
        let place = |row: &Found| {
            let xid: &str = row.try_get(0)?;
            Ok((
                xid.parse().unwrap_or(i64::MAX),
                EventId::new(row.try_get(1)?),
            ))
        };
        let rows: Result<_, _> = found.iter().map(place).collect();
        rows.map_err(|error| self.failed(STEP, error))
    }

    /// The place from which rows are looked at again: behind the transaction `known`, or from `lowest` and what is
    /// under way now where none is; those with ids from `since` on.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn again(
        &mut self,
        at: &Snapshot,
        (known, lowest): (Option<i64>, Option<i64>),
        since: EventId,
    ) -> Result<Snapshot, Error> {
        let number = |xid: i64| u64::try_from(xid).unwrap_or(0);
        let end = match known {
            Some(xid) => number(xid) + 1,
            None => {
                let now = self.now()?;
                let under_way = now.split(':').next().and_then(|xmin| xmin.parse().ok());
                let lowest = lowest.map_or(u64::MAX, number);
                lowest.min(under_way.unwrap_or(0))
            }
        };
        let timeline = format!("{}>{}", at.timeline_now(), self.facts.timeline);
        Ok(Snapshot {
            timeline,
            ..self.place(up_to(&at.seen, end), since)
        })
    }

    /// How many rows are behind a place, counted up to `most`.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn behind(&mut self, from: &Snapshot, most: i64) -> Result<i64, Error> {
        const STEP: &str = "count rows that were not taken";
        let start = Start::of(from);
        let mut values = start.values();
        values.push((&most as _, Type::INT8));
        let found = self.link.rows(STEP, &self.sql.behind, &values);
        let found = found.map_err(Error::Server)?;
        let count = found.first().map(|row| row.try_get(0)).transpose();
        let count = count.map_err(|error| self.failed(STEP, error))?;
        Ok(count.unwrap_or(0))
    }

    /// Who else follows, and not by that name of [`reader_name`](super::reader_name), by the server's process, where this user may know.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn others(&mut self, own: &str) -> Result<Option<i32>, Error> {
        const STEP: &str = "look for others that follow";
        let own = [(&own as _, Type::TEXT)];
        let found = self.link.rows(STEP, OTHERS, &own).map_err(Error::Server)?;
        let pid = found.first().map(|row| row.try_get(0)).transpose();
        pid.map_err(|error| self.failed(STEP, error))
    }

    /// Whether there is a doorbell, and it is wanted.
    #[must_use]
    pub(crate) fn has_doorbell(&self) -> bool {
        self.facts.doorbell.is_some()
    }

    /// Says by the doorbell's sequence whether commits are to ring.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn set_asleep(&mut self, asleep: bool) -> Result<(), Error> {
        let Some(doorbell) = &self.facts.doorbell else {
            return Ok(());
        };
        let value = if asleep { ASLEEP } else { AWAKE };
        let sql = "SELECT setval($1::text::regclass, $2)";
        let values = [(doorbell as _, Type::TEXT), (&value as _, Type::INT8)];
        let told = self.link.execute("set the doorbell", sql, &values);
        told.map(drop).map_err(Error::Server)
    }

    /// The row of that id.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn row(&mut self, id: EventId) -> Result<Option<Row>, Error> {
        let name_bytes = i32::try_from(LOADED_NAME_BYTES).unwrap_or(i32::MAX);
        let data_bytes = self.judge.loaded_data_bytes();
        let values: [_; 3] = [
            (&id.get() as _, Type::INT8),
            (&name_bytes as _, Type::INT4),
            (&data_bytes as _, Type::INT8),
        ];
        let found = self.link.rows("read a row", &self.sql.one, &values);
        let found = found.map_err(Error::Server)?;
        // Its first three columns are xid, id and the text of xid.
        let row = found
            .first()
            .map(|row| judged(self.judge, id.get(), row, 3, &mut None));
        row.transpose()
            .map_err(|error| self.failed("read a row", error))
    }

    /// The snapshot of this moment: what is committed by now is in it.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn now(&mut self) -> Result<String, Error> {
        let sql = "SELECT pg_current_snapshot()::text";
        Ok(self.value("take a snapshot", sql, &[])?.unwrap_or_default())
    }

    /// What the server's clock says, UNIX milliseconds.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn server_ms(&mut self) -> Result<i64, Error> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(self
            .value("ask for the server's time", sql, &[])?
            .unwrap_or(0))
    }

    /// The time of the oldest row, UNIX milliseconds; `None` without rows, or where it has no proper one.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn oldest_ms(&mut self) -> Result<Option<i64>, Error> {
        self.value("look for the oldest row", &self.sql.oldest, &[])
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn count(&mut self) -> Result<i64, Error> {
        Ok(self.value("count rows", &self.sql.count, &[])?.unwrap_or(0))
    }

    /// Deletes up to `rows` rows that were made before that UNIX millisecond and are in `seen`. Returns how many.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn prune(&mut self, before_ms: i64, seen: &str, rows: usize) -> Result<u64, Error> {
        let below = first_id_of(before_ms).get();
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let values: [_; 3] = [
            (&below as _, Type::INT8),
            (&seen as _, Type::TEXT),
            (&rows as _, Type::INT8),
        ];
        let deleted = self
            .link
            .execute("delete old rows", &self.sql.prune, &values);
        deleted.map_err(Error::Server)
    }

    /// What is worth somebody's time about the table.
    #[must_use]
    pub(crate) fn findings(&self, wants_to_delete: bool) -> Vec<Finding> {
        let server = &self.link.server.shown;
        self.facts.findings(server, wants_to_delete)
    }

    /// The same of the table as it is by now: what somebody has changed of it since is told too.
    ///
    /// # Errors
    /// As of [`Tail::open`].
    pub(crate) fn findings_now(&self) -> Result<Vec<Finding>, Error> {
        let facts = Facts::of(&self.link).map_err(Error::Server)?;
        Ok(facts.findings(&self.link.server.shown, false))
    }

    pub(super) fn value<T>(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, Error>
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let found = self.link.rows(step, sql, values).map_err(Error::Server)?;
        let value = found.first().map(|row| row.try_get::<_, Option<T>>(0));
        let value = value
            .transpose()
            .map_err(|error| self.failed(step, error))?;
        Ok(value.flatten())
    }

    pub(super) fn failed(&self, step: &'static str, error: tokio_postgres::Error) -> Error {
        Error::Server(Trouble::of_step(&self.link.server, step, error))
    }
}

/// The first id that a row of that UNIX millisecond can have.
#[must_use]
pub(crate) fn first_id_of(ms: i64) -> EventId {
    let ids = ms.saturating_mul(IDS_A_MS).saturating_sub(EPOCH_IDS);
    EventId::new(ids.max(1))
}

/// The UNIX millisecond of the rows that can have that id.
#[must_use]
pub(crate) fn given_ms(id: EventId) -> i64 {
    id.get().saturating_add(EPOCH_IDS) / IDS_A_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_by_time() {
        let ms = 1_800_000_000_123;
        let first = first_id_of(ms);
        assert_eq!(
            (given_ms(first), given_ms(EventId::new(first.get() - 1))),
            (ms, ms - 1)
        );
        assert_eq!(first_id_of(1_767_225_600_000 + 1), EventId::new(4_096));
        assert_eq!(first_id_of(0), EventId::new(1), "before 2026 there is none");
    }
}
