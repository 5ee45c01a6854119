//! The roll-up: attempts counted by webhook in spans of time, for `health` at any size.
//!
//! It is derived from the attempt rows and from nothing else. What `record` commits is counted in
//! memory and written once a second, together with the id of the last attempt counted; attempts
//! above that id are counted again from their rows when the log is opened, so a crash loses none.
//! Rows are kept only as long as `health` reads them; hours that go are added to their day, for a picture of a month. Nothing here is a measure for billing.

use std::sync::{Arc, LazyLock};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::faults::DoingWith as _;
use super::tally::{DAY, DAY_MS, SPANS, Tally, start_of};
use super::{Error, Store, Swept, schema};
use crate::model::{AttemptId, LOG_EDGES_MS};

static ADD: LazyLock<String> = LazyLock::new(|| {
    let mut columns = String::from("attempts, failures");
    let mut places = String::from("?1, ?2, ?3, ?4, ?5");
    let mut sums = String::from(
        "attempts = attempts + excluded.attempts, failures = failures + excluded.failures",
    );
    for (n, edge) in LOG_EDGES_MS.iter().enumerate() {
        columns += &format!(", le_{edge}");
        places += &format!(", ?{}", n + 6);
        sums += &format!(", le_{edge} = le_{edge} + excluded.le_{edge}");
    }
    format!(
        "INSERT INTO rollup (span, start, webhook, {columns}) VALUES ({places})
         ON CONFLICT (span, start, webhook) DO UPDATE SET {sums}"
    )
});

/// Adds the hours that are about to go to their days; the same rows as [`DELETE`] takes.
static FOLD: LazyLock<String> = LazyLock::new(|| {
    let mut columns = String::from("attempts, failures");
    let mut sums = String::from(
        "attempts = attempts + excluded.attempts, failures = failures + excluded.failures",
    );
    for edge in LOG_EDGES_MS {
        columns += &format!(", le_{edge}");
        sums += &format!(", le_{edge} = le_{edge} + excluded.le_{edge}");
    }
    format!(
        "INSERT INTO rollup (span, start, webhook, {columns})
         SELECT 'day', start - start % {DAY_MS}, webhook, {columns} FROM (
           SELECT * FROM rollup WHERE span = 'hour' AND start < ?1 ORDER BY start, webhook LIMIT ?2) WHERE true
         ON CONFLICT (span, start, webhook) DO UPDATE SET {sums}"
    )
});

const DELETE: &str = "DELETE FROM rollup WHERE (span, start, webhook) IN (
   SELECT span, start, webhook FROM rollup WHERE span = ?1 AND start < ?2 ORDER BY start, webhook LIMIT ?3)";

/// Attempts above an id.
const UNCOUNTED: &str = "SELECT a.id, n.name, a.time, a.duration_us, a.outcome IN (1, 3), a.error
  FROM attempt a JOIN webhook_name n ON n.id = a.webhook_id WHERE a.id > ?1 ORDER BY a.id";

/// Those of the shape before.
const EARLIER: &str = "SELECT id, webhook, time, duration_us, outcome = 'delivered', error
  FROM old_attempt WHERE id > ?1 ORDER BY id";

fn count(
    connection: &Connection,
    sql: &str,
    counted: AttemptId,
    tally: &mut Tally,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([counted])?;
    while let Some(row) = rows.next()? {
        tally.add(
            &row.get::<_, Arc<str>>(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get_ref(5)?.as_str_or_null()?,
        );
        tally.counted_to(row.get(0)?);
    }
    Ok(())
}

impl Store {
    /// Writes the roll-up of what was recorded since the last one, without waiting for the disk.
    /// To be called once a second; where nothing was recorded since, it does nothing.
    ///
    /// # Errors
    /// The log can't be written: the next roll-up writes the same and more.
    pub fn roll_up(&mut self, now_ms: i64) -> Result<(), Error> {
        if self.tally.is_empty() {
            return Ok(());
        }
        let tally = std::mem::take(&mut self.tally);
        let written = self.transact("write the roll-up", |t| write(t, &tally, now_ms));
        if written.is_err() {
            self.tally = tally;
        }
        written
    }

    /// Writes the roll-up, and has the disk keep it and every earlier commit (`synchronous = FULL`).
    /// The writer waits for the disk meanwhile, so this is for the end, and for when a checkpoint
    /// can't do it. Where all that was committed is on disk, it does nothing.
    ///
    /// # Errors
    /// The log can't be written: the next flush writes the same and more.
    pub fn flush(&mut self, now_ms: i64) -> Result<(), Error> {
        if !self.unsynced && self.tally.is_empty() {
            return Ok(());
        }
        let tally = std::mem::take(&mut self.tally);
        let written = self
            .synchronous("FULL")
            .and_then(|()| self.transact("write the roll-up", |t| write(t, &tally, now_ms)));
        let relaxed = self.synchronous("NORMAL");
        if written.is_err() {
            self.tally = tally;
        } else {
            self.unsynced = false;
        }
        written.and(relaxed)
    }

    /// Counts the attempts that no flush has counted.
    pub(super) fn catch_up(&mut self, now_ms: i64) -> Result<(), Error> {
        let mut tally = Tally::default();
        let mut read = || -> rusqlite::Result<()> {
            let counted: AttemptId = self
                .connection
                .query_row("SELECT attempt_id FROM rolled_up", [], |row| row.get(0))
                .optional()?
                .unwrap_or_default();
            if schema::has_earlier(&self.connection)? {
                count(&self.connection, EARLIER, counted, &mut tally)?;
            }
            count(&self.connection, UNCOUNTED, counted, &mut tally)
        };
        read().doing_with(&self.faults, "count the attempts since the last roll-up")?;
        if tally.attempt_id > AttemptId::NONE {
            self.tally = tally;
            self.flush(now_ms)?;
        }
        Ok(())
    }

    /// Deletes up to `limit` rows of each span that `health` no longer reads, by the newest there is.
    pub(super) fn expire_rollup(&mut self, limit: i64) -> Result<Swept, Error> {
        const STEP: &str = "delete old roll-up rows";
        let mut swept = Swept::default();
        for span in SPANS.iter().chain([&DAY]) {
            let edge: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT newest - ?2 FROM (
                       SELECT (SELECT max(start) FROM rollup WHERE span = ?1) AS newest,
                              (SELECT min(start) FROM rollup WHERE span = ?1) AS oldest)
                      WHERE oldest < newest - ?2",
                )
                .and_then(|mut s| {
                    s.query_row(params![span.name, span.keep_ms], |row| row.get(0))
                        .optional()
                })
                .doing_with(&self.faults, STEP)?;
            let Some(edge) = edge else { continue };
            swept.rows += self.transact(STEP, |t| {
                if span.name == SPANS[1].name {
                    t.prepare_cached(&FOLD)?.execute([edge, limit])?;
                }
                t.prepare_cached(DELETE)?
                    .execute(params![span.name, edge, limit])
            })?;
            swept.more = true;
        }
        Ok(swept)
    }

    /// Not a cached statement: this pragma acts when it is prepared, not when it is run.
    fn synchronous(&self, level: &str) -> Result<(), Error> {
        self.connection
            .pragma_update(None, "synchronous", level)
            .doing_with(&self.faults, "set how commits reach the disk")
    }
}

fn write(t: &Transaction<'_>, tally: &Tally, now_ms: i64) -> rusqlite::Result<()> {
    let mut add = t.prepare_cached(&ADD)?;
    for span in &SPANS {
        for ((start, webhook), counts) in &tally.counts {
            let start = start_of(*start, span.length_ms);
            add.raw_bind_parameter(1, span.name)?;
            add.raw_bind_parameter(2, start)?;
            add.raw_bind_parameter(3, webhook)?;
            add.raw_bind_parameter(4, counts.attempts)?;
            add.raw_bind_parameter(5, counts.failures)?;
            for (n, count) in counts.le.iter().enumerate() {
                add.raw_bind_parameter(n + 6, count)?;
            }
            add.raw_execute()?;
        }
    }
    let mut last = t.prepare_cached(
        "UPDATE webhook SET last_success_at = coalesce(?2, last_success_at),
           last_error = CASE WHEN ?3 IS NULL THEN last_error ELSE ?4 END,
           last_failure_at = coalesce(?3, last_failure_at) WHERE name = ?1",
    )?;
    for (webhook, seen) in &tally.last {
        last.execute(params![
            webhook,
            seen.success_at,
            seen.failure_at,
            seen.error
        ])?;
    }
    // Always written, for a commit without a page is not synced.
    t.prepare_cached(
        "INSERT INTO rolled_up (one, attempt_id, time) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET attempt_id = max(attempt_id, excluded.attempt_id),
           time = excluded.time",
    )?
    .execute(params![tally.attempt_id, now_ms])?;
    Ok(())
}
