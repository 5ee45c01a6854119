//! Retention: hourly marks, deleting what is older than a mark in small chunks, giving pages back.
//!
//! Ids grow with time, so a mark (time against the highest ids) turns "older than" into id ranges,
//! which is eight times cheaper than any other order of deleting. Pending deliveries outlive the
//! window, with their bodies; a delivery goes after its attempts, a body after its deliveries and what
//! is owed of it. How long the window is, and when there is time for a chunk, is the caller's.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::faults::DoingWith as _;
use super::passes::{Mark, Pass, SweepPass};
use super::{Error, Store, earlier, next, schema};
use crate::model::{EventId, Generation, crash};

/// Marks are this far apart, and so the window is at most this much longer than it says.
pub(super) const MARK_EVERY_MS: i64 = 3_600_000;

/// Marks further apart than this: the daemon was away, or the clock leapt. A machine that rests for
/// weekends is no leap, or one that never runs for a day would never delete.
pub(super) const LEAP_MS: i64 = 7 * 24 * MARK_EVERY_MS;

/// Which of the two it was, a person may have to see and set right: for so long nothing is deleted.
pub(super) const LEAP_WAIT_MS: i64 = 24 * MARK_EVERY_MS;

/// Pages given back in one call: 5 ms at 40,000 pages a second.
const VACUUM_PAGES: i64 = 200;

/// A log in balance reuses its free pages. One page in this many may be free before any is given back.
const FREE_SHARE: i64 = 16;

/// Pages that stay free in any case: 512 KiB.
const FREE_PAGES: i64 = 64;

/// One chunk of [`Store::sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows deleted.
    pub rows: usize,
    /// Whether there is more to do; call again, between other work.
    pub more: bool,
}

/// A table of a pass: how to find the last id of the next chunk, and the deletion of what may go in it.
struct Stage {
    ids: Ids,
    chunk_end: &'static str,
    delete: &'static str,
}

/// Which of a mark's ids a stage goes up to.
#[derive(Clone, Copy)]
enum Ids {
    Attempts,
    Deliveries,
    Payloads,
    Rejected,
    Redeliveries,
    /// All there are: what goes is said by other columns.
    All,
}

/// In this order, so that nothing is left without what it refers to. `?1 < id <= ?2`; `?3`: the
/// window's begin, for what may have ended long after its id was given out, and for marks that were
/// made while the clock was far behind.
const STAGES: [Stage; 10] = [
    Stage {
        ids: Ids::Attempts,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM attempt WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM attempt WHERE id > ?1 AND id <= ?2 AND time < ?3",
    },
    Stage {
        ids: Ids::Deliveries,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM ended NOT INDEXED WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        // What was given up and holds an order waits for a person, however long.
        delete: "DELETE FROM ended WHERE id > ?1 AND id <= ?2 AND finished_at < ?3
                   AND NOT EXISTS (SELECT 1 FROM turn t WHERE t.delivery_id = ended.id)
                   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = ended.id)",
    },
    Stage {
        ids: Ids::Payloads,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM payload WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        // What is queued has no index, and is read once for a chunk.
        delete: "DELETE FROM payload WHERE id > ?1 AND id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.payload_id = payload.id)
                   AND NOT EXISTS (SELECT 1 FROM parked k WHERE k.payload_id = payload.id)
                   AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.payload_id = payload.id)
                   AND NOT EXISTS (SELECT 1 FROM owed o WHERE o.payload_id = payload.id)
                   AND id NOT IN (SELECT payload_id FROM queued)",
    },
    Stage {
        ids: Ids::Rejected,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM rejected WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM rejected WHERE id > ?1 AND id <= ?2 AND time < ?3",
    },
    Stage {
        ids: Ids::Redeliveries,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM redelivery WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM redelivery WHERE id > ?1 AND id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = redelivery.delivery_id)",
    },
    Stage {
        ids: Ids::Attempts,
        chunk_end: "SELECT max(first_attempt_id) FROM (SELECT first_attempt_id FROM posted
                     WHERE first_attempt_id > ?1 AND first_attempt_id <= ?2 ORDER BY first_attempt_id LIMIT ?3)",
        delete: "DELETE FROM posted WHERE first_attempt_id > ?1 AND first_attempt_id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM attempt a
                                    WHERE a.id BETWEEN posted.first_attempt_id AND posted.last_attempt_id)",
    },
    // Of which a delivery ended otherwise.
    Stage {
        ids: Ids::All,
        chunk_end: "SELECT max(first_id) FROM (SELECT first_id FROM batch
                     WHERE first_id > ?1 AND first_id <= ?2 ORDER BY first_id LIMIT ?3)",
        delete: "DELETE FROM batch WHERE first_id > ?1 AND first_id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM parked k WHERE k.id = batch.first_id)
                   AND NOT EXISTS (SELECT 1 FROM queued q WHERE q.id = batch.first_id)",
    },
    // A text was used no later than a day after it says, so its attempts are older than the mark by a
    // day, and went with it.
    Stage {
        ids: Ids::All,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM text WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM text WHERE id > ?1 AND id <= ?2 AND used_at < ?3 - 172800000
                   AND used_at < ?4 - 172800000",
    },
    // By webhook. The newest block stays, for the writer knows by heart what is in it.
    Stage {
        ids: Ids::All,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM webhook_name WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM seen WHERE webhook_id > ?1 AND webhook_id <= ?2
                   AND block < coalesce((SELECT min(id) FROM attempt),
                                        (SELECT attempt_id FROM mark ORDER BY time DESC LIMIT 1)) / 1024",
    },
    // What a body was called as a message.
    Stage {
        ids: Ids::Payloads,
        chunk_end: "SELECT max(payload_id) FROM (SELECT payload_id FROM payload_message
                     WHERE payload_id > ?1 AND payload_id <= ?2 ORDER BY payload_id LIMIT ?3)",
        delete: "DELETE FROM payload_message WHERE payload_id > ?1 AND payload_id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM payload p WHERE p.id = payload_message.payload_id)",
    },
];

/// The same of the shape before, as long as there is something of it. What is 'pending' there is
/// somewhere else by now.
const EARLIER: [Stage; 3] = [
    Stage {
        ids: Ids::Attempts,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM old_attempt WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM old_attempt WHERE id > ?1 AND id <= ?2 AND time < ?3",
    },
    Stage {
        ids: Ids::Deliveries,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM old_delivery NOT INDEXED WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM old_delivery WHERE id > ?1 AND id <= ?2 AND (state = 'pending' OR finished_at < ?3)
                   AND NOT EXISTS (SELECT 1 FROM old_attempt a WHERE a.delivery_id = old_delivery.id)",
    },
    Stage {
        ids: Ids::Payloads,
        chunk_end: "SELECT max(id) FROM (SELECT id FROM old_payload WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        delete: "DELETE FROM old_payload WHERE id > ?1 AND id <= ?2
                   AND NOT EXISTS (SELECT 1 FROM old_delivery d
                                    WHERE d.event_id = old_payload.event_id AND d.payload_id = old_payload.id)",
    },
];

impl Store {
    /// Writes a mark, unless the newest is less than an hour old. Returns whether it did.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn mark(&mut self, now_ms: i64) -> Result<bool, Error> {
        let newest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(time) FROM mark WHERE time <= ?1")
            .and_then(|mut s| s.query_row([now_ms], |row| row.get(0)))
            .doing_with(&self.faults, "read the newest mark")?;
        if newest.is_some_and(|time| now_ms - time < MARK_EVERY_MS) {
            return Ok(false);
        }
        self.transact("write a mark", |t| {
            // The clock was ahead when these were made; their ids are older than they say.
            // They are the newest ids all the same, until this one is written.
            let newest = next::newest(t)?;
            t.execute("DELETE FROM mark WHERE time > ?1", [now_ms])?;
            next::mark(t, now_ms, newest)
        })?;
        Ok(true)
    }

    /// Whether time leapt by more than a week, less than a day ago.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn leapt(&mut self) -> Result<bool, Error> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM mark m
                   WHERE m.time > (SELECT max(time) FROM mark) - ?2
                     AND m.time - (SELECT max(p.time) FROM mark p WHERE p.time < m.time) > ?1)",
            )
            .and_then(|mut s| s.query_row([LEAP_MS, LEAP_WAIT_MS], |row| row.get(0)))
            .doing_with(&self.faults, "compare the newest marks")
    }

    /// How far the outbox had been taken in by `before_ms`, as `(generation, id)`: rows up to that
    /// id were taken before then. `None` where no mark is that old.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn outbox_mark(&mut self, before_ms: i64) -> Result<Option<(Generation, EventId)>, Error> {
        self.connection
            .prepare_cached(
                "SELECT generation, event_id FROM mark WHERE time <= ?1 ORDER BY time DESC LIMIT 1",
            )
            .and_then(|mut s| {
                s.query_row([before_ms], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .doing_with(&self.faults, "read an old mark")
    }

    /// Deletes one chunk of what is older than `before_ms`, looking at no more than `max_rows` rows,
    /// and then gives some free pages back. To be called until there is no more, between other work.
    /// The file itself gets shorter at the next checkpoint.
    ///
    /// # Errors
    /// The log can't be written; the next call goes on at the same place.
    pub fn sweep(&mut self, before_ms: i64, max_rows: usize) -> Result<Swept, Error> {
        let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
        let pass = match self.sweep.current {
            Some(pass) => Some(pass),
            None => self.next_pass(before_ms)?,
        };
        let mut swept = match pass {
            Some(pass) => self.sweep_chunk(pass, before_ms, limit)?,
            None => self.expire_rollup(limit)?,
        };
        let vacuumed =
            give_pages_back(&self.connection).doing_with(&self.faults, "give free pages back")?;
        self.unsynced |= vacuumed.is_some();
        swept.more |= vacuumed == Some(true);
        Ok(swept)
    }

    fn sweep_chunk(&mut self, pass: Pass, before_ms: i64, limit: i64) -> Result<Swept, Error> {
        let stages = STAGES
            .iter()
            .chain(pass.with_earlier.then_some(&EARLIER).into_iter().flatten());
        let Some(work) = stages.clone().nth(pass.stage) else {
            let rows = self.transact("delete old marks", |t| {
                if pass.with_earlier && schema::is_earlier_empty(t)? {
                    schema::end_transition(t)?;
                }
                t.execute("DELETE FROM mark WHERE time < ?1", [pass.mark.time])
            })?;
            self.sweep = SweepPass {
                current: None,
                done: Some(pass.mark.time),
            };
            return Ok(Swept { rows, more: true });
        };
        let ids = (pass.after_id, pass.mark.up_to(work.ids));
        let end: Option<i64> = self
            .connection
            .prepare_cached(work.chunk_end)
            .and_then(|mut s| s.query_row(params![ids.0, ids.1, limit], |row| row.get(0)))
            .doing_with(&self.faults, "look for old rows")?;
        let (stage, after_id) = end.map_or((pass.stage + 1, 0), |end| (pass.stage, end));
        let rows = match end {
            Some(end) => self.transact("delete old rows", |t| {
                delete(t, work, (pass.after_id, end), (before_ms, pass.mark.time))
            })?,
            None => 0,
        };
        self.sweep.current = Some(Pass {
            stage,
            after_id,
            ..pass
        });
        Ok(Swept { rows, more: true })
    }

    /// A pass by the newest mark that is old enough, unless there was one already.
    fn next_pass(&self, before_ms: i64) -> Result<Option<Pass>, Error> {
        let mark = self
            .connection
            .prepare_cached(
                "SELECT time, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id
                   FROM mark WHERE time <= ?1 ORDER BY time DESC LIMIT 1",
            )
            .and_then(|mut s| s.query_row([before_ms], read_mark).optional())
            .doing_with(&self.faults, "read an old mark")?;
        let Some(mark) = mark.filter(|mark| Some(mark.time) != self.sweep.done) else {
            return Ok(None);
        };
        // Not before what is pending there has come over.
        let with_earlier = schema::has_earlier(&self.connection)
            .and_then(|earlier| Ok(earlier && !earlier::is_pending(&self.connection)?))
            .doing_with(&self.faults, "look for rows of the shape before")?;
        Ok(Some(Pass {
            mark,
            with_earlier,
            stage: 0,
            after_id: 0,
        }))
    }
}

impl Mark {
    fn up_to(&self, ids: Ids) -> i64 {
        match ids {
            Ids::Attempts => self.ids[0],
            Ids::Deliveries => self.ids[1],
            Ids::Payloads => self.ids[2],
            Ids::Rejected => self.ids[3],
            Ids::Redeliveries => self.ids[4],
            Ids::All => i64::MAX,
        }
    }
}

fn read_mark(row: &Row<'_>) -> rusqlite::Result<Mark> {
    let (attempt, delivery, payload) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(Mark {
        time: row.get(0)?,
        ids: [attempt, delivery, payload, row.get(4)?, row.get(5)?],
    })
}

fn delete(
    t: &Transaction<'_>,
    stage: &Stage,
    (after_id, end): (i64, i64),
    (before_ms, mark_ms): (i64, i64),
) -> rusqlite::Result<usize> {
    let mut statement = t.prepare_cached(stage.delete)?;
    statement.raw_bind_parameter(1, after_id)?;
    statement.raw_bind_parameter(2, end)?;
    for (parameter, time_ms) in [(3, before_ms), (4, mark_ms)] {
        if statement.parameter_count() >= parameter {
            statement.raw_bind_parameter(parameter, time_ms)?;
        }
    }
    statement.raw_execute()
}

/// `None` where there are few free pages; else some were given back: whether many are left.
fn give_pages_back(connection: &Connection) -> rusqlite::Result<Option<bool>> {
    let ask = |pragma| -> rusqlite::Result<i64> {
        connection
            .prepare_cached(pragma)?
            .query_row([], |row| row.get(0))
    };
    let free = ask("PRAGMA freelist_count")?;
    let surplus = free - (ask("PRAGMA page_count")? / FREE_SHARE).max(FREE_PAGES);
    if surplus <= 0 {
        return Ok(None);
    }
    // Stepped to its end: each step frees one page.
    let pages = surplus.min(VACUUM_PAGES);
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    // A file without auto_vacuum, as .recover makes it, gives nothing back: then that is that.
    let freed = ask("PRAGMA freelist_count")? < free;
    crash::point("sweep", "pages given back");
    Ok(freed.then_some(surplus > pages))
}
