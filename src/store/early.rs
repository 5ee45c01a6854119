//! A log that is as large as it may be: the oldest finished work goes before its days are over.
//!
//! A chunk goes by the ids of attempts, from the oldest on: a delivery that has ended goes at its last
//! attempt, whole, in one transaction with its attempts and what else refers to it, and with its body
//! where no other delivery needs that. So what goes is what ended first, and no reader ever sees half
//! of it. The hourly marks of [`super::retain`] are of no use for this: a small log is full within
//! minutes of one mark, and ids of deliveries say when work began, not when it ended. What ended without
//! an attempt, cancelled deliveries and rows set aside, goes when the attempts of its time are gone.
//!
//! What a file gives back is reused, so the file stays as long as it may be while work comes and goes,
//! and only where it is longer are pages cut off. When there is time for a chunk, and how large it is,
//! is the caller's. Pending work is not touched, nor is anything of the outbox.

mod find;

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::faults::DoingWith as _;
use super::fill::{Pages, SizeBounds, pragma};
use super::{Error, Store, batch, next};
use crate::model::{AttemptId, DeliveryId, PayloadId, crash};
use find::{Cancelled, Seen, Work, cancelled, oldest};

/// Pages given back in one call, a few milliseconds.
const VACUUM_PAGES: u64 = 400;

/// Freed pages are counted after so many deliveries, for each may have a body of many pages.
const COUNT_EVERY: usize = 8;

/// Pages that a chunk may free for each of its rows, 32 KiB: then it ends, however many rows are left.
const PAGES_PER_ROW: u64 = 4;

/// Cancelled deliveries are looked at again when the attempts that go are so much later.
const CANCELLED_EVERY_MS: i64 = 60_000;

/// One chunk of [`Store::shrink`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// Bytes of the file that were in use before.
    pub used: u64,
    /// Deliveries deleted, and rows that had been set aside.
    pub deleted: usize,
    /// Whether there is more to do; call again.
    pub more: bool,
    /// The log is too large, and nothing is left that may go.
    pub stuck: bool,
}

/// Whether the process has that delivery of that webhook in hand.
type Held<'a> = &'a dyn Fn(&str, DeliveryId) -> bool;

/// The delivery and all that refers to it: `?1` is its id. The order of who sent it again stays while that is
/// pending, for the daemon may not have seen it yet; it is a few bytes, and goes after its days.
const DELETE: [&str; 3] = [
    "DELETE FROM attempt WHERE delivery_id = ?1",
    "DELETE FROM redelivery WHERE delivery_id = ?1
       AND NOT EXISTS (SELECT 1 FROM parked WHERE id = redelivery.new_delivery_id)
       AND NOT EXISTS (SELECT 1 FROM queued WHERE id = redelivery.new_delivery_id)",
    "DELETE FROM ended WHERE id = ?1",
];

/// Its body, unless somebody needs it yet. What is queued has no index and is asked of memory.
const DELETE_BODY: &str = "DELETE FROM payload WHERE id = ?1
     AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.payload_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM parked k WHERE k.payload_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.payload_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM owed o WHERE o.payload_id = ?1)";

const DELETE_MESSAGE: &str = "DELETE FROM payload_message WHERE payload_id = ?1";

/// What there is of the two in the shape before.
const EARLIER_DELETE: [&str; 2] = [
    "DELETE FROM old_attempt WHERE delivery_id = ?1",
    "DELETE FROM old_delivery WHERE id = ?1",
];
const EARLIER_DELETE_BODY: &str = "DELETE FROM old_payload WHERE id = ?1
     AND NOT EXISTS (SELECT 1 FROM old_delivery d
                      WHERE d.event_id = old_payload.event_id AND d.payload_id = ?1)";

/// The step is that of all retention.
const STEP: &str = "delete old rows";

/// The bytes of a database's file and of its WAL, asked of their paths: opening them would drop SQLite's
/// locks. 0 where there is none.
#[must_use]
pub(crate) fn size(database: &Path) -> (u64, u64) {
    // The WAL is beside the file itself, wherever a link to it is.
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut wal = real.clone().into_os_string();
    wal.push("-wal");
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    (bytes(&real), bytes(Path::new(&wal)))
}

impl Store {
    /// Makes the log smaller by one chunk where it is beyond its bounds: deletes what ended first, looking
    /// at no more than `max_rows` of each kind, or gives pages back. What the process has in hand stays.
    ///
    /// # Errors
    /// The log can't be written; the next call goes on at the same place.
    pub fn shrink(
        &mut self,
        bounds: &SizeBounds,
        max_rows: usize,
        now_ms: i64,
        held: Held<'_>,
    ) -> Result<Shrunk, Error> {
        let pages =
            Pages::of(&self.connection).doing_with(&self.faults, "ask for the log's size")?;
        let mut shrunk = Shrunk {
            used: pages.used(),
            ..Shrunk::default()
        };
        if shrunk.used > bounds.used {
            let surplus = (shrunk.used - bounds.used).div_ceil(pages.bytes);
            let (deleted, more) = self.delete_oldest(max_rows, surplus, now_ms, held)?;
            (shrunk.deleted, shrunk.more, shrunk.stuck) = (deleted, more, !more);
        }
        if !shrunk.more && pages.all() > bounds.file && pages.free > 0 {
            let surplus = (pages.all() - bounds.file).div_ceil(pages.bytes);
            let freed = give_back(&self.connection, surplus.min(pages.free).min(VACUUM_PAGES))
                .doing_with(&self.faults, "give free pages back")?;
            self.unsynced |= freed;
            shrunk.more = freed;
        }
        Ok(shrunk)
    }

    /// How many went, and whether there may be more.
    fn delete_oldest(
        &mut self,
        max_rows: usize,
        surplus: u64,
        now_ms: i64,
        held: Held<'_>,
    ) -> Result<(usize, bool), Error> {
        let max_rows = max_rows.max(1);
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let (seen, with_earlier) = oldest(&self.connection, self.early.after, limit)
            .doing_with(&self.faults, "look for the oldest attempts")?;
        let exhausted = seen.len() < max_rows;
        if let Some(last) = seen.last() {
            self.count_up_to(last.attempt, now_ms)?;
        }
        let most_pages = u64::try_from(max_rows)
            .unwrap_or(u64::MAX)
            .saturating_mul(PAGES_PER_ROW)
            .min(surplus);
        let room = Room {
            most_pages,
            with_earlier,
            now_ms,
        };
        let (mut deleted, whole) = self.delete_seen(&seen, room, held)?;
        let until_ms = if exhausted && whole {
            i64::MAX
        } else {
            self.early.time_ms
        };
        let (cancelled, looked) = self.delete_cancelled(limit, room, until_ms, held)?;
        let aside = self.delete_set_aside(until_ms, limit)?;
        deleted += cancelled + aside;
        let more = !exhausted || !whole || !looked || deleted > 0;
        Ok((deleted, more))
    }

    /// The roll-up is counted from rows after a crash: none goes that it has not counted.
    fn count_up_to(&mut self, attempt: AttemptId, now_ms: i64) -> Result<(), Error> {
        let counted: AttemptId = self
            .connection
            .prepare_cached("SELECT coalesce(max(attempt_id), 0) FROM rolled_up")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing_with(&self.faults, "read how far the roll-up is")?;
        if attempt > counted {
            self.roll_up(now_ms)?;
        }
        Ok(())
    }

    /// Deletes those that ended with an attempt among these, and whether it came to the end of them.
    fn delete_seen(
        &mut self,
        seen: &[Seen],
        room: Room,
        held: Held<'_>,
    ) -> Result<(usize, bool), Error> {
        // The attempt of one that was cancelled may be under way: it is not called back.
        let is_held = |seen: &Seen| seen.is_cancelled && held(&seen.webhook, seen.work.id);
        let goes = |seen: &Seen| seen.is_last && !seen.is_pending && !is_held(seen);
        let Some(first) = seen.first() else {
            return Ok((0, true));
        };
        let (deleted, last) = if seen.iter().any(goes) {
            self.transact(STEP, |t| {
                let (mut bin, mut last) = (Bin::new(t, room)?, first);
                for one in seen {
                    if bin.is_full()? {
                        break;
                    }
                    if goes(one) {
                        bin.delete(&one.work)?;
                    }
                    last = one;
                }
                batch::forget_posts(t, last.attempt)?;
                Ok((bin.deleted, last))
            })?
        } else {
            (0, seen.last().unwrap_or(first))
        };
        (self.early.after, self.early.time_ms) = (last.attempt, last.time_ms);
        Ok((
            deleted,
            seen.last().is_some_and(|end| end.attempt == last.attempt),
        ))
    }

    /// Deletes what was cancelled before then and has no later attempt, and whether the look at them is
    /// over: one begins with each minute of what goes, for they stand in no order of time.
    fn delete_cancelled(
        &mut self,
        limit: i64,
        room: Room,
        until_ms: i64,
        held: Held<'_>,
    ) -> Result<(usize, bool), Error> {
        let early = &self.early;
        let is_new =
            |looked_ms: i64| early.time_ms.abs_diff(looked_ms) >= CANCELLED_EVERY_MS.unsigned_abs();
        if early.place.is_none() && until_ms != i64::MAX && !early.looked_ms.is_none_or(is_new) {
            return Ok((0, true));
        }
        let (cancelled, place) = cancelled(&self.connection, early.place, early.after, limit)
            .doing_with(&self.faults, "look for cancelled deliveries")?;
        let goes = |one: &&Cancelled| {
            one.is_last && one.finished_ms <= until_ms && !held(&one.webhook, one.work.id)
        };
        let mut going = cancelled.iter().filter(goes).peekable();
        let mut deleted = 0;
        if going.peek().is_some() {
            let whole;
            (deleted, whole) = self.transact(STEP, |t| {
                let mut bin = Bin::new(t, room)?;
                for one in going {
                    if bin.is_full()? {
                        return Ok((bin.deleted, false));
                    }
                    bin.delete(&one.work)?;
                }
                Ok((bin.deleted, true))
            })?;
            if !whole {
                // The same again: those that are left are found by it.
                return Ok((deleted, false));
            }
        }
        if place.is_none() {
            self.early.looked_ms = Some(self.early.time_ms);
        }
        self.early.place = place;
        Ok((deleted, place.is_none()))
    }

    /// Deletes rows that were set aside before then.
    fn delete_set_aside(&mut self, until_ms: i64, limit: i64) -> Result<usize, Error> {
        let end: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(id) FROM (SELECT id, time FROM rejected ORDER BY id LIMIT ?2) WHERE time <= ?1",
            )
            .and_then(|mut s| s.query_row([until_ms, limit], |row| row.get(0)))
            .doing_with(&self.faults, "look for rows set aside")?;
        let Some(end) = end else { return Ok(0) };
        self.transact(STEP, |t| {
            t.prepare_cached("DELETE FROM rejected WHERE id <= ?1 AND time <= ?2")?
                .execute([end, until_ms])
        })
    }
}

/// What a chunk may take, and what it has to know.
#[derive(Clone, Copy)]
struct Room {
    most_pages: u64,
    /// Whether there are tables of the shape before.
    with_earlier: bool,
    now_ms: i64,
}

/// What a transaction deletes, until it has freed so many pages.
struct Bin<'a> {
    transaction: &'a Transaction<'a>,
    deleted: usize,
    full_at: u64,
    with_earlier: bool,
    /// Whether any body has an id as a message.
    with_messages: bool,
    /// Bodies of what is queued.
    queued: HashSet<PayloadId>,
}

impl<'a> Bin<'a> {
    fn new(transaction: &'a Transaction<'a>, room: Room) -> rusqlite::Result<Self> {
        // What goes is newer than the newest mark, as a rule: its ids are not given again all the same.
        next::keep(transaction, room.now_ms)?;
        let free = pragma(transaction, "PRAGMA freelist_count")?;
        let mut queued = transaction.prepare_cached("SELECT payload_id FROM queued")?;
        let queued = queued.query_map([], |row| row.get(0))?;
        Ok(Self {
            transaction,
            deleted: 0,
            full_at: free.saturating_add(room.most_pages),
            with_earlier: room.with_earlier,
            with_messages: pragma(transaction, "SELECT EXISTS (SELECT 1 FROM payload_message)")?
                > 0,
            queued: queued.collect::<Result<_, _>>()?,
        })
    }

    fn is_full(&self) -> rusqlite::Result<bool> {
        if self.deleted == 0 || !self.deleted.is_multiple_of(COUNT_EVERY) {
            return Ok(false);
        }
        Ok(pragma(self.transaction, "PRAGMA freelist_count")? >= self.full_at)
    }

    fn delete(&mut self, work: &Work) -> rusqlite::Result<()> {
        let earlier: &[&str] = if self.with_earlier {
            &EARLIER_DELETE
        } else {
            &[]
        };
        for sql in DELETE.iter().chain(earlier) {
            self.transaction.prepare_cached(sql)?.execute([work.id])?;
        }
        if !self.queued.contains(&work.payload_id) {
            let mut body = self.transaction.prepare_cached(DELETE_BODY)?;
            let gone = body.execute([work.payload_id])? > 0;
            if gone && self.with_messages {
                let mut message = self.transaction.prepare_cached(DELETE_MESSAGE)?;
                message.execute([work.payload_id])?;
            }
        }
        if self.with_earlier {
            let mut body = self.transaction.prepare_cached(EARLIER_DELETE_BODY)?;
            body.execute([work.payload_id])?;
        }
        self.deleted += 1;
        Ok(())
    }
}

/// Whether any page was given back: a file without `auto_vacuum`, as .recover makes it, gives none.
fn give_back(connection: &Connection, pages: u64) -> rusqlite::Result<bool> {
    let before = pragma(connection, "PRAGMA freelist_count")?;
    // Stepped to its end: each step frees one page.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    crash::point("sweep", "pages given back");
    Ok(pragma(connection, "PRAGMA freelist_count")? < before)
}
