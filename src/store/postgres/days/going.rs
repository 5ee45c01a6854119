//! How a day goes: detached while others read and write, and dropped once nobody can see it.
//!
//! A day is asked whether it may go before it does, by what every statement sees, and what is asked for never changes
//! back: nothing comes into a day that is over, and nothing refers to it anew. It is detached by itself, outside of a
//! transaction and of the log's lock, by a connection of its own: that waits for whoever reads, and nobody waits for it.
//! After some seconds it is given up, and what had begun is finished in the next round, by whoever leads then. What the
//! server refuses is told of, unless the day is another one by then: so another node was at it. Left out: when a day is
//! to go, which is the caller's.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Day, Days, GOES, make_by_itself, move_on, server_ms};
use crate::model::{Server, chain};
use crate::postgres::{Link, Trouble, Value};
use crate::store::Error;
use crate::store::early::Shrunk;
use crate::store::fill::SizeBounds;

/// How long a day is waited for, in one round.
const PATIENCE: Duration = Duration::from_secs(5);

const STEP: &str = "look which days of the log may go";

const ATTEMPTS: usize = 0;
const BODIES: usize = 1;

/// The newest mark of before a time: what had which id by then.
const MARK: &str =
    "SELECT attempt_id, payload_id FROM webhooksd.mark WHERE time <= $1 ORDER BY time DESC LIMIT 1";

/// Bytes of the rows that there are, with what an index takes of each; what statistics know of them, so within a minute
/// and a tenth. Long texts stand apart, in pieces of 2 KB.
pub(crate) const USED: &str =
    "SELECT coalesce(sum(least(pg_total_relation_size(c.oid)::numeric,
      pg_stat_get_live_tuples(c.oid) * (28 + coalesce(w.width, 0)) * 1.4
      + coalesce(pg_stat_get_live_tuples(nullif(c.reltoastrelid, 0)), 0) * 2048)), 0)::bigint
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN (SELECT tablename, sum(avg_width * (1 - null_frac))::numeric AS width FROM pg_catalog.pg_stats
              WHERE schemaname = 'webhooksd' GROUP BY tablename) w ON w.tablename = c.relname
 WHERE n.nspname = 'webhooksd' AND c.relkind = 'r'";

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Tables that were dropped.
    pub(crate) tables: usize,
    /// Rows of attempts in them, as the server's statistics know them.
    pub(crate) attempts: usize,
    /// A table that is kept by a transaction that has read it and is open.
    pub(crate) held: Option<String>,
    /// Tables that the server does not let go of, and what it says.
    pub(crate) refused: Vec<(String, String)>,
}

/// What came of a day that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It went.
    Gone,
    /// Somebody holds it, or is at it as well: the next round goes on.
    Held,
    /// The server refuses, and the day is as it was.
    Refused,
}

/// Makes the days of the week to come, and moves ids on to today's. `now_ms`: by the caller's clock; the server's own
/// counts as well, for a node that begins goes by that.
pub(crate) fn make_days(server: &Arc<Server>, now_ms: i64) -> Result<(), Error> {
    let going = Going::open(server)?;
    going.make(now_ms).map_err(Error::Server)
}

/// Drops the days of before a time, attempts before the bodies that they used.
pub(crate) fn expire_days(server: &Arc<Server>, before_ms: i64) -> Result<Gone, Error> {
    let going = Going::open(server)?;
    going.expire(before_ms).map_err(Error::Server)
}

/// Drops the oldest day that is over, and the bodies that nobody needs then, where the log is larger than it may be.
/// `None`: no day may go, or there are rows of before all days.
pub(crate) fn shed_days(
    server: &Arc<Server>,
    bounds: &SizeBounds,
    now_ms: i64,
) -> Result<(Option<Shrunk>, Gone), Error> {
    let going = Going::open(server)?;
    let mut gone = Gone::default();
    let shrunk = going.shed(bounds, now_ms, &mut gone);
    Ok((shrunk.map_err(Error::Server)?, gone))
}

struct Going {
    link: Link,
}

impl Going {
    fn open(server: &Arc<Server>) -> Result<Self, Error> {
        let link = Link::open(server).map_err(Error::Server)?;
        Ok(Self { link })
    }

    fn make(&self, now_ms: i64) -> Result<(), Trouble> {
        for now_ms in [server_ms(&self.link)?, now_ms] {
            if !Days::look(&self.link)?
                .missing(now_ms, super::AHEAD)
                .is_empty()
            {
                make_by_itself(&self.link, now_ms)?;
            }
        }
        const STEP: &str = "move ids on";
        self.link.batch(
            STEP,
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '2s'; \
         SET LOCAL idle_in_transaction_session_timeout = '2s'",
        )?;
        let moved = (|| {
            let sql = "SELECT FROM webhooksd.meta WHERE one = 1 FOR UPDATE";
            self.link.rows(STEP, sql, &[])?;
            move_on(&self.link, now_ms)
        })();
        let end = if moved.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.link.batch(STEP, end);
        moved.and(ended)
    }

    fn expire(&self, before_ms: i64) -> Result<Gone, Trouble> {
        let mut gone = Gone::default();
        if self.finish(&mut gone)? == Came::Held {
            return Ok(gone);
        }
        let rows = self.link.rows(STEP, MARK, &[(&before_ms, Type::INT8)])?;
        let Some(mark) = rows.first() else {
            return Ok(gone);
        };
        let failed = |error| Trouble::of_step(&self.link.server, STEP, error);
        let marks: [i64; 2] = [
            mark.try_get(0).map_err(failed)?,
            mark.try_get(1).map_err(failed)?,
        ];
        for (table, mark) in [ATTEMPTS, BODIES].into_iter().zip(marks) {
            for day in self.over(table, before_ms)? {
                let may_go = match table {
                    ATTEMPTS => self.is_old(&day, mark, before_ms),
                    _ => self.is_free(&day, mark),
                };
                let may_go = self.unless_another(&day, &mut gone, may_go)?;
                if may_go == Ok(true) && self.drop(day, &mut gone)? == Came::Held {
                    return Ok(gone);
                }
            }
        }
        Ok(gone)
    }

    fn shed(
        &self,
        bounds: &SizeBounds,
        now_ms: i64,
        gone: &mut Gone,
    ) -> Result<Option<Shrunk>, Trouble> {
        // What is refused has its bytes still: no other day goes for these.
        let is_free = self.finish(gone)? == Came::Gone;
        let used = u64::try_from(self.number(USED, &[])?).unwrap_or(0);
        let mut shrunk = Shrunk {
            used,
            deleted: gone.attempts,
            ..Shrunk::default()
        };
        if used <= bounds.used || !is_free {
            return Ok(Some(shrunk));
        }
        // Nothing comes into a day that is over, from now on.
        self.make(now_ms)?;
        let sql = "SELECT EXISTS (SELECT FROM webhooksd.attempt_old)::int::bigint";
        if Days::look(&self.link)?.edges[ATTEMPTS].is_some() && self.number(sql, &[])? == 1 {
            return Ok(None);
        }
        for day in self.over(ATTEMPTS, now_ms)? {
            // Of days with nothing in them any number goes.
            let sql = format!(
                "SELECT EXISTS (SELECT FROM webhooksd.{})::int::bigint",
                day.name
            );
            let is_full = self.number(&sql, &[]).map(|found| found == 1);
            let is_full = self.unless_another(&day, gone, is_full)?;
            if self.drop(day, gone)? != Came::Gone {
                return Ok(Some(shrunk));
            }
            if is_full == Ok(true) {
                break;
            }
        }
        for day in self.over(BODIES, now_ms)? {
            let is_free = self.is_free(&day, i64::MAX);
            let is_free = self.unless_another(&day, gone, is_free)?;
            if is_free == Ok(true) && self.drop(day, gone)? != Came::Gone {
                break;
            }
        }
        shrunk.deleted = gone.attempts;
        shrunk.more = gone.tables > 0 && gone.held.is_none();
        Ok((gone.tables > 0 || gone.held.is_some()).then_some(shrunk))
    }

    /// The days of a table that were over by then and that nothing comes into any more, the oldest first; without those
    /// that go already.
    fn over(&self, table: usize, by_ms: i64) -> Result<Vec<Day>, Trouble> {
        let all = Days::look(&self.link)?;
        let (last_id, mut days) = (all.last_ids[table], all.days);
        days.retain(|day| {
            let is_over = day.end_ms() <= by_ms && super::id_at(day.end_ms()) <= last_id;
            day.table == table && day.is_attached && !day.is_leaving && !day.goes && is_over
        });
        days.sort_by_key(|day| day.from_ms);
        Ok(days)
    }

    /// Whether all attempts of a day were made before the mark, as it says and as the last of them says itself: one of
    /// the two may be of a clock that was wrong.
    fn is_old(&self, day: &Day, mark: i64, before_ms: i64) -> Result<bool, Trouble> {
        let name = &day.name;
        let sql = format!(
            "SELECT (NOT EXISTS (SELECT FROM webhooksd.{name} WHERE id > $1)
               AND coalesce((SELECT time < $2 FROM webhooksd.{name} ORDER BY id DESC LIMIT 1), true))::int::bigint"
        );
        let values = [(&mark as _, Type::INT8), (&before_ms as _, Type::INT8)];
        Ok(self.number(&sql, &values)? == 1)
    }

    /// Whether nothing needs a body of a day: no attempt, and nothing that is pending, owed or kept for a person.
    fn is_free(&self, day: &Day, mark: i64) -> Result<bool, Trouble> {
        let (first, end) = (day.first_id(), super::id_at(day.end_ms()));
        let none = |table: &str| {
            format!(
                "AND NOT EXISTS (SELECT FROM webhooksd.{table} WHERE payload_id >= $2 AND payload_id < $3)"
            )
        };
        let sql = format!(
            "SELECT (NOT EXISTS (SELECT FROM webhooksd.{} WHERE id > $1) {} {} {} {})::int::bigint",
            day.name,
            none("attempt"),
            none("pending"),
            none("ended"),
            none("owed")
        );
        let values = [&mark, &first, &end].map(|value| (value as _, Type::INT8));
        Ok(self.number(&sql, &values)? == 1)
    }

    fn number(&self, sql: &str, values: &[Value<'_>]) -> Result<i64, Trouble> {
        let rows = self.link.rows(STEP, sql, values)?;
        let number: Option<Result<i64, _>> = rows.first().map(|row| row.try_get(0));
        let number = number.transpose();
        let number = number.map_err(|error| Trouble::of_step(&self.link.server, STEP, error))?;
        Ok(number.unwrap_or_default())
    }

    /// Goes on with what another round, or another node, has begun.
    fn finish(&self, gone: &mut Gone) -> Result<Came, Trouble> {
        let mut all = Came::Gone;
        for day in Days::look(&self.link)?.days {
            if !day.goes {
                continue;
            }
            // Of each kind one may be on its way, and no other one is detached until it is.
            let is_in_the_way = day.is_leaving;
            match self.drop(day, gone)? {
                Came::Gone => {}
                Came::Refused if !is_in_the_way => all = Came::Refused,
                Came::Held | Came::Refused => return Ok(Came::Held),
            }
        }
        Ok(all)
    }

    /// Drops a day that may go, from wherever that was left.
    fn drop(&self, mut day: Day, gone: &mut Gone) -> Result<Came, Trouble> {
        let (parent, name) = (day.parent(), day.name.clone());
        if !day.goes {
            let sql = format!("COMMENT ON TABLE webhooksd.{name} IS '{GOES}'");
            let came = self.step(&day, gone, ("mark a day of the log that goes", &sql))?;
            if came != Came::Gone {
                return Ok(came);
            }
            day.goes = true;
        }
        if day.is_attached {
            let how = if day.is_leaving {
                "FINALIZE"
            } else {
                "CONCURRENTLY"
            };
            let sql =
                format!("ALTER TABLE webhooksd.{parent} DETACH PARTITION webhooksd.{name} {how}");
            let came = self.step(&day, gone, ("detach a day of the log", &sql))?;
            if came != Came::Gone {
                return Ok(came);
            }
            (day.is_attached, day.is_leaving) = (false, false);
        }
        self.drop_table(&day, gone)
    }

    fn drop_table(&self, day: &Day, gone: &mut Gone) -> Result<Came, Trouble> {
        let name = &day.name;
        let sql = format!("SELECT pg_stat_get_live_tuples('webhooksd.{name}'::regclass)");
        let rows = self.number(&sql, &[]);
        let rows = match self.unless_another(day, gone, rows)? {
            Ok(rows) => rows,
            Err(came) => return Ok(came),
        };
        let shortened = match day.table {
            BODIES => "UPDATE webhooksd.meta SET shortened = true WHERE NOT shortened;",
            _ => "",
        };
        // Several statements at once are one transaction.
        let sql = format!("SET LOCAL lock_timeout = '2s'; {shortened} DROP TABLE webhooksd.{name}");
        let came = self.step(day, gone, ("drop a day of the log", &sql))?;
        if came == Came::Gone {
            gone.tables += 1;
            if day.table == ATTEMPTS {
                gone.attempts += usize::try_from(rows).unwrap_or(0);
            }
        }
        Ok(came)
    }

    /// One statement about a day, which is given up after a while.
    fn step(
        &self,
        day: &Day,
        gone: &mut Gone,
        (step, sql): (&'static str, &str),
    ) -> Result<Came, Trouble> {
        match self.link.batch_for(step, sql, PATIENCE) {
            Err(trouble) if trouble.is_waiting() => {
                gone.held = Some(day.name.clone());
                Ok(Came::Held)
            }
            done => {
                let done = self.unless_another(day, gone, done)?;
                Ok(done.map_or_else(|came| came, |()| Came::Gone))
            }
        }
    }

    /// Retention and the log's size look for days by themselves, and a node that led does for a moment longer: of a day
    /// that another one takes away the server says that it is not there, or is in no state for that. Then it is another
    /// one than it was. Where it is the same the server refuses, and will again.
    fn unless_another<T>(
        &self,
        day: &Day,
        gone: &mut Gone,
        done: Result<T, Trouble>,
    ) -> Result<Result<T, Came>, Trouble> {
        let trouble = match done {
            Ok(done) => return Ok(Ok(done)),
            Err(trouble) if trouble.is_of_what_was_there() => trouble,
            Err(trouble) => return Err(trouble),
        };
        if !Days::look(&self.link)?.days.contains(day) {
            return Ok(Err(Came::Held));
        }
        gone.refused.push((day.name.clone(), chain(&trouble)));
        Ok(Err(Came::Refused))
    }
}
