//! Retention: hourly marks, and deleting what is older than a mark in small chunks.
//!
//! The rules are those of a log in SQLite (`store/retain.rs`): ids grow with time, what is pending stays with its body, a
//! delivery goes after its attempts and a body after all that is of it. The room of what went is the server's to use
//! again, so a log beyond its size loses whole days, the oldest first, and is measured by its rows and not by its files.
//! Days that have a table of their own go whole, which is not here (`days`): what is deleted row by row is what lies in
//! none, and what is left of a day that something needs.

use std::sync::LazyLock;

use tokio_postgres::Row;

use super::values::{int, word};
use super::{Read, Transaction, Writer};
use crate::model::{EventId, Generation, LOG_EDGES_MS};
use crate::postgres::Trouble;
use crate::store::Error;
use crate::store::early::Shrunk;
use crate::store::fill::{Fill, SizeBounds};
use crate::store::passes::{Mark, Pass, SweepPass};
use crate::store::postgres::days::{Days, SLACK, USED};
use crate::store::retain::{LEAP_MS, LEAP_WAIT_MS, MARK_EVERY_MS, Swept};
use crate::store::tally::{DAY, DAY_MS, SPANS};
use crate::store::transition::CameOver;
use crate::store::turn::InHand;
use crate::store::writes::Retains;

/// A table of a pass, which of a mark's ids it goes up to, and what may go in it. `$3`: the window's begin.
struct Stage {
    table: &'static str,
    id: &'static str,
    mark: Option<usize>,
    goes: &'static str,
}

/// In this order, so that nothing is left without what it refers to. Attempts are in no day before their delivery's, and
/// their body's, less [`SLACK`].
const STAGES: [Stage; 6] = [
    Stage {
        table: "attempt",
        id: "id",
        mark: Some(0),
        goes: "x.time < $3",
    },
    // What was given up and holds an order waits for a person, however long.
    Stage {
        table: "ended",
        id: "id",
        mark: Some(1),
        goes: "x.finished_at < $3
           AND NOT EXISTS (SELECT FROM webhooksd.turn t WHERE t.delivery_id = x.id)
           AND NOT EXISTS (SELECT FROM webhooksd.attempt a WHERE a.delivery_id = x.id AND a.id > x.id - 88473600000)",
    },
    Stage {
        table: "payload",
        id: "id",
        mark: Some(2),
        goes: "NOT EXISTS (SELECT FROM webhooksd.attempt a WHERE a.payload_id = x.id AND a.id > x.id - 88473600000)
           AND NOT EXISTS (SELECT FROM webhooksd.pending q WHERE q.payload_id = x.id)
           AND NOT EXISTS (SELECT FROM webhooksd.ended e WHERE e.payload_id = x.id)
           AND NOT EXISTS (SELECT FROM webhooksd.owed o WHERE o.payload_id = x.id)",
    },
    Stage {
        table: "rejected",
        id: "id",
        mark: Some(3),
        goes: "x.time < $3",
    },
    Stage {
        table: "redelivery",
        id: "id",
        mark: Some(4),
        goes: "NOT EXISTS (SELECT FROM webhooksd.delivery d WHERE d.id = x.delivery_id)",
    },
    // Of which a delivery ended otherwise.
    Stage {
        table: "batch",
        id: "first_id",
        mark: None,
        goes: "NOT EXISTS (SELECT FROM webhooksd.pending q WHERE q.id = x.first_id)",
    },
];

/// What there is by now, in the order of the stages.
const MARK: &str = "INSERT INTO webhooksd.mark
    (time, generation, event_id, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id)
  SELECT $1, coalesce((SELECT generation FROM webhooksd.cursor), 0),
         coalesce((SELECT event_id FROM webhooksd.cursor), 0),
         coalesce((SELECT max(id) FROM webhooksd.attempt), 0),
         coalesce(pg_sequence_last_value('webhooksd.delivery_id'), 0),
         coalesce((SELECT max(id) FROM webhooksd.payload), 0),
         coalesce((SELECT max(id) FROM webhooksd.rejected), 0),
         coalesce((SELECT max(id) FROM webhooksd.redelivery), 0)
      ON CONFLICT (time) DO NOTHING";

const MARKS: &str = "SELECT time, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id FROM webhooksd.mark";

/// The first mark that is a day behind the oldest attempt: its ids are above that one's.
const A_DAY_ON: &str = "SELECT time, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id FROM webhooksd.mark
  WHERE time >= (SELECT time FROM webhooksd.attempt ORDER BY id LIMIT 1) + $1 AND time <= $2 ORDER BY time LIMIT 1";

/// Up to where rows of a span go.
const EDGE: &str = "SELECT newest - $2 FROM (
    SELECT max(start) AS newest, min(start) AS oldest FROM webhooksd.rollup WHERE span = $1) s
  WHERE oldest < newest - $2";

/// Adds the hours that are about to go to their days.
static FOLD: LazyLock<String> = LazyLock::new(|| {
    let edges = || LOG_EDGES_MS.iter();
    let columns: String = edges().map(|edge| format!(", le_{edge}")).collect();
    let sums: String = edges().map(|edge| format!(", sum(le_{edge})")).collect();
    let adds = edges().map(|edge| format!(", le_{edge} = r.le_{edge} + excluded.le_{edge}"));
    let adds: String = adds.collect();
    format!(
        "INSERT INTO webhooksd.rollup AS r (span, start, webhook, attempts, failures{columns})
         SELECT 'day', start - start % {DAY_MS}, webhook, sum(attempts), sum(failures){sums}
           FROM (SELECT * FROM webhooksd.rollup WHERE span = 'hour' AND start < $1
                  ORDER BY start, webhook LIMIT $2) h GROUP BY 2, 3
         ON CONFLICT (span, start, webhook) DO UPDATE
           SET attempts = r.attempts + excluded.attempts, failures = r.failures + excluded.failures{adds}"
    )
});

/// The same rows.
const EXPIRE: &str = "DELETE FROM webhooksd.rollup WHERE (span, start, webhook) IN (
   SELECT span, start, webhook FROM webhooksd.rollup WHERE span = $1 AND start < $2 ORDER BY start, webhook LIMIT $3)";

fn maybe(row: &Row) -> Read<Option<i64>> {
    row.try_get(0)
}

fn mark(row: &Row) -> Read<Mark> {
    let ids = [1, 2, 3, 4, 5].map(|at| row.try_get(at));
    let [attempt, delivery, payload, rejected, redelivery] = ids;
    Ok(Mark {
        time: row.try_get(0)?,
        ids: [attempt?, delivery?, payload?, rejected?, redelivery?],
    })
}

impl Stage {
    /// Finds the last id of the next chunk: `$1 < id <= $2`, `$3` rows.
    fn end(&self) -> String {
        let (table, id) = (self.table, self.id);
        format!(
            "SELECT max({id}) FROM (SELECT {id} FROM webhooksd.{table} WHERE {id} > $1 AND {id} <= $2
              ORDER BY {id} LIMIT $3) x"
        )
    }

    fn delete(
        &self,
        t: &Transaction<'_>,
        (after, end): (i64, i64),
        before_ms: i64,
    ) -> Result<usize, Trouble> {
        let (table, id, goes) = (self.table, self.id, self.goes);
        let sql = format!(
            "DELETE FROM webhooksd.{table} x WHERE x.{id} > $1 AND x.{id} <= $2 AND {goes}"
        );
        let rows = t.execute(&sql, &[int(&after), int(&end), int(&before_ms)])?;
        if rows > 0 && table == "payload" {
            let sql = "UPDATE webhooksd.meta SET shortened = true WHERE NOT shortened";
            t.execute(sql, &[])?;
        }
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }
}

impl Writer {
    /// One chunk of a pass: the rows that went, and where the pass goes on.
    fn sweep_chunk(
        &mut self,
        pass: Pass,
        before_ms: i64,
        limit: i64,
    ) -> Result<(usize, Option<Pass>), Error> {
        let Some(stage) = STAGES.get(pass.stage) else {
            let rows = self.transact("delete old marks", |t| {
                let sql = "DELETE FROM webhooksd.mark WHERE time < $1";
                t.execute(sql, &[int(&pass.mark.time)])
            })?;
            return Ok((usize::try_from(rows).unwrap_or(usize::MAX), None));
        };
        let up_to = stage.mark.map_or(i64::MAX, |at| pass.mark.ids[at]);
        let values = [int(&pass.after_id), int(&up_to), int(&limit)];
        let end = self.look("look for old rows", &stage.end(), &values, maybe)?;
        let end = end.into_iter().flatten().next();
        let rows = match end {
            Some(end) => self.transact("delete old rows", |t| {
                stage.delete(t, (pass.after_id, end), before_ms)
            })?,
            None => 0,
        };
        let (stage, after_id) = end.map_or((pass.stage + 1, 0), |end| (pass.stage, end));
        let next = Pass {
            stage,
            after_id,
            ..pass
        };
        Ok((rows, Some(next)))
    }

    /// A pass by the newest mark that is old enough, unless there was one already.
    fn next_pass(&mut self, before_ms: i64) -> Result<Option<Pass>, Error> {
        let sql = format!("{MARKS} WHERE time <= $1 ORDER BY time DESC LIMIT 1");
        let found = self.look("read an old mark", &sql, &[int(&before_ms)], mark)?;
        let found = found.into_iter().next();
        let found = found.filter(|mark| Some(mark.time) != self.sweep.done);
        let Some(mark) = found else { return Ok(None) };
        let below = self.days()?.row_by_row(before_ms);
        Ok(Some(begin(mark.below(below))))
    }

    /// Where there are rows of before all days they alone go row by row.
    fn rows_before_days(&mut self) -> Result<[i64; 2], Error> {
        let edge = self.days()?.edge();
        let sql = "SELECT coalesce(min(id), $1) < $1 FROM webhooksd.attempt";
        let found = self.look("look for the oldest day", sql, &[int(&edge)], |row| {
            row.try_get(0)
        })?;
        let is_before = found.first() == Some(&true);
        Ok(if is_before { [edge; 2] } else { [i64::MAX; 2] })
    }

    fn days(&mut self) -> Result<Days, Error> {
        self.connect().map_err(Error::Server)?;
        match &self.link {
            Some(link) => Days::look(link).map_err(Error::Server),
            None => Ok(Days::default()),
        }
    }

    /// Deletes up to `limit` rows of each span that `health` no longer reads, by the newest there is.
    fn expire_rollup(&mut self, limit: i64) -> Result<Swept, Error> {
        const STEP: &str = "delete old roll-up rows";
        let mut swept = Swept::default();
        for span in SPANS.iter().chain([&DAY]) {
            let values = [word(&span.name), int(&span.keep_ms)];
            let edge = self.look(STEP, EDGE, &values, maybe)?;
            let Some(edge) = edge.into_iter().flatten().next() else {
                continue;
            };
            let rows = self.transact(STEP, |t| {
                if span.name == SPANS[1].name {
                    t.execute(&FOLD, &[int(&edge), int(&limit)])?;
                }
                t.execute(EXPIRE, &[word(&span.name), int(&edge), int(&limit)])
            })?;
            swept.rows += usize::try_from(rows).unwrap_or(usize::MAX);
            swept.more = true;
        }
        Ok(swept)
    }
}

// It stands in the statements.
const _: () = assert!(SLACK == 88_473_600_000);

impl Mark {
    /// Of attempts and bodies what lies below these ids.
    fn below(mut self, [attempts, bodies]: [i64; 2]) -> Self {
        self.ids[0] = self.ids[0].min(attempts.saturating_sub(1));
        self.ids[2] = self.ids[2].min(bodies.saturating_sub(1));
        self
    }
}

fn begin(mark: Mark) -> Pass {
    Pass {
        mark,
        with_earlier: false,
        stage: 0,
        after_id: 0,
    }
}

impl Retains for Writer {
    fn mark(&mut self, now_ms: i64) -> Result<bool, Error> {
        let sql = "SELECT max(time) FROM webhooksd.mark WHERE time <= $1";
        let newest = self.look("read the newest mark", sql, &[int(&now_ms)], maybe)?;
        let newest = newest.into_iter().flatten().next();
        if newest.is_some_and(|time| now_ms - time < MARK_EVERY_MS) {
            return Ok(false);
        }
        self.transact("write a mark", |t| {
            // The clock was ahead when these were made; their ids are older than they say.
            let sql = "DELETE FROM webhooksd.mark WHERE time > $1";
            t.execute(sql, &[int(&now_ms)])?;
            t.execute(MARK, &[int(&now_ms)])
        })?;
        Ok(true)
    }

    fn leapt(&mut self) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM webhooksd.mark m WHERE m.time > (SELECT max(time) FROM webhooksd.mark) - $2
              AND m.time - (SELECT max(p.time) FROM webhooksd.mark p WHERE p.time < m.time) > $1";
        let values = [int(&LEAP_MS), int(&LEAP_WAIT_MS)];
        let leaps = self.look("compare the newest marks", sql, &values, |_| Ok(()))?;
        Ok(!leaps.is_empty())
    }

    fn outbox_mark(&mut self, before_ms: i64) -> Result<Option<(Generation, EventId)>, Error> {
        let sql = "SELECT generation, event_id FROM webhooksd.mark WHERE time <= $1 ORDER BY time DESC LIMIT 1";
        let of = |row: &Row| {
            let generation = row.try_get(0).map(Generation::new);
            Ok((generation?, EventId::new(row.try_get(1)?)))
        };
        let found = self.look("read an old mark", sql, &[int(&before_ms)], of)?;
        Ok(found.into_iter().next())
    }

    fn sweep(&mut self, before_ms: i64, max_rows: usize) -> Result<Swept, Error> {
        let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
        let pass = match self.sweep.current {
            Some(pass) => Some(pass),
            None => self.next_pass(before_ms)?,
        };
        let Some(pass) = pass else {
            return self.expire_rollup(limit);
        };
        let (rows, next) = self.sweep_chunk(pass, before_ms, limit)?;
        self.sweep = SweepPass {
            current: next,
            done: match next {
                Some(_) => self.sweep.done,
                None => Some(pass.mark.time),
            },
        };
        Ok(Swept { rows, more: true })
    }

    /// It has no file of its own, so nothing waits for room in one.
    fn limit_size(&mut self, _: Option<SizeBounds>) {}

    fn fill(&self) -> Fill {
        Fill::default()
    }

    fn shrink(
        &mut self,
        bounds: &SizeBounds,
        max_rows: usize,
        now_ms: i64,
        _: InHand<'_>,
    ) -> Result<Shrunk, Error> {
        let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
        let used = self.look("ask for the log's size", USED, &[], maybe)?;
        let used = used.into_iter().flatten().next().unwrap_or_default();
        let used = u64::try_from(used).unwrap_or(0);
        let mut shrunk = Shrunk {
            used,
            ..Shrunk::default()
        };
        let pass = match self.early {
            // A day that has begun to go goes whole.
            Some(pass) => Some(pass),
            None if used <= bounds.used => return Ok(shrunk),
            None => {
                let values = [int(&DAY_MS), int(&now_ms)];
                let found = self.look("look for the oldest day", A_DAY_ON, &values, mark)?;
                let below = self.rows_before_days()?;
                found
                    .into_iter()
                    .next()
                    .map(|mark| begin(mark.below(below)))
            }
        };
        let Some(pass) = pass else {
            shrunk.stuck = true;
            return Ok(shrunk);
        };
        let (rows, next) = self.sweep_chunk(pass, pass.mark.time, limit)?;
        self.early = next;
        (shrunk.deleted, shrunk.more) = (rows, true);
        Ok(shrunk)
    }

    /// There was no shape before.
    fn come_over(&mut self, _: usize) -> Result<CameOver, Error> {
        Ok(CameOver::default())
    }
}
