//! The roll-up: attempts counted by webhook in spans of time.
//!
//! What `record` commits is counted in memory and written once a second, together with the id of the last attempt
//! counted; attempts above that id are counted again from their rows when the log is opened, so a crash loses none. Where
//! there are rows of other nodes by then, those may be about to count them: that is waited for until all of them are
//! gone, and what somebody has counted meanwhile is left to him. So where one of several nodes dies, its last second is
//! in no roll-up. Left out: the rows that go (`retains`).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tokio_postgres::Row;

use super::uncounted::{Mark, Uncounted};
use super::values::{clean, int, ints, maybe_ints, maybe_texts, word, words};
use super::{Read, Transaction, Writer};
use crate::model::{AttemptId, LOG_BUCKETS, LOG_EDGES_MS};
use crate::postgres::{Trouble, Value};
use crate::store::Error;
use crate::store::tally::{Counts, SPANS, Tally, start_of};

const CATCH_UP: &str = "count the attempts since the last roll-up";

/// Adds counts to their spans.
static ADD: LazyLock<String> = LazyLock::new(|| {
    let mut columns = String::from("span, start, webhook, attempts, failures");
    let mut arrays =
        String::from("$1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[]");
    let mut sums = String::from(
        "attempts = r.attempts + excluded.attempts, failures = r.failures + excluded.failures",
    );
    for (n, edge) in LOG_EDGES_MS.iter().enumerate() {
        columns += &format!(", le_{edge}");
        arrays += &format!(", ${}::bigint[]", n + 6);
        sums += &format!(", le_{edge} = r.le_{edge} + excluded.le_{edge}");
    }
    format!(
        "INSERT INTO webhooksd.rollup AS r ({columns}) SELECT * FROM unnest({arrays})
         ON CONFLICT (span, start, webhook) DO UPDATE SET {sums}"
    )
});

const LAST: &str = "UPDATE webhooksd.webhook w SET last_success_at = coalesce(r.success_at, w.last_success_at),
    last_error = CASE WHEN r.failure_at IS NULL THEN w.last_error ELSE r.error END,
    last_failure_at = coalesce(r.failure_at, w.last_failure_at)
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS r(name, success_at, failure_at, error)
 WHERE w.name = r.name";

const COUNTED: &str = "INSERT INTO webhooksd.rolled_up AS r (one, attempt_id, time) VALUES (1, $1, $2)
    ON CONFLICT (one) DO UPDATE SET attempt_id = greatest(r.attempt_id, excluded.attempt_id), time = excluded.time";

/// Attempts that no roll-up has counted, up to one.
const UNCOUNTED: &str =
    "SELECT id, webhook, time, duration_us, outcome IN ('delivered', 'again'), error
   FROM webhooksd.attempt WHERE id > $1 AND id <= $2 ORDER BY id";

/// The last attempt that is counted and when that was written, the last that there is, and who else is there.
const BOUNDS: &str = "SELECT coalesce((SELECT attempt_id FROM webhooksd.rolled_up), 0),
    coalesce((SELECT time FROM webhooksd.rolled_up), 0),
    coalesce((SELECT max(id) FROM webhooksd.attempt), 0),
    ARRAY(SELECT id::text FROM webhooksd.node WHERE id <> $1::text::uuid)";

/// The same of what is counted, which nobody writes until this transaction has ended.
const LOCKED: &str = "SELECT attempt_id, time FROM webhooksd.rolled_up FOR UPDATE";

impl Writer {
    /// Writes what was counted; `synced`: and has the disk keep it with every earlier commit.
    pub(super) fn write_rollup(&mut self, now_ms: i64, synced: bool) -> Result<(), Error> {
        let tally = std::mem::take(&mut self.tally);
        let waits = self.uncounted.is_some();
        let written = self.transact("write the roll-up", |t| {
            if synced {
                t.execute("SET LOCAL synchronous_commit = on", &[])?;
            }
            let before = if waits {
                t.all(LOCKED, &[], mark)?.pop()
            } else {
                None
            };
            write(t, &tally, now_ms)?;
            Ok(before.unwrap_or_default())
        });
        match written {
            Err(error) => {
                self.tally = tally;
                Err(error)
            }
            Ok(before) => {
                let mine = (before.0.max(tally.attempt_id.get()), now_ms);
                // Where somebody else has written meanwhile, he is there and counts what is his.
                let left = self.uncounted.take().filter(|left| left.mark == before);
                self.uncounted = left.map(|left| Uncounted { mark: mine, ..left });
                Ok(())
            }
        }
    }

    /// Counts the attempts that no roll-up has counted, at once or once it is known that nobody else does.
    pub(super) fn catch_up(&mut self, now_ms: i64) -> Result<(), Error> {
        self.uncounted = self.uncounted_now()?.filter(|of| of.last > of.after);
        self.count_what_is_left()?;
        if self.tally.is_empty() {
            return Ok(());
        }
        self.write_rollup(now_ms, false)
    }

    fn uncounted_now(&mut self) -> Result<Option<Uncounted>, Error> {
        let me = self.node.id().to_owned();
        let of = |row: &Row| {
            Ok(Uncounted {
                after: row.try_get(0)?,
                mark: (row.try_get(0)?, row.try_get(1)?),
                last: row.try_get(2)?,
                nodes: row.try_get(3)?,
            })
        };
        Ok(self.look(CATCH_UP, BOUNDS, &[word(&&*me)], of)?.pop())
    }

    /// Counts what others left, where all of them are gone and nobody has counted anything since.
    pub(super) fn count_what_is_left(&mut self) -> Result<(), Error> {
        if self.uncounted.is_none() {
            return Ok(());
        }
        let now = self.uncounted_now()?;
        let Some((left, now)) = self.uncounted.take().zip(now) else {
            return Ok(());
        };
        if now.mark != left.mark {
            return Ok(());
        }
        if left.nodes.iter().any(|node| now.nodes.contains(node)) {
            self.uncounted = Some(left);
            return Ok(());
        }
        let of = |row: &Row| {
            let counts = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let error: Option<String> = row.try_get(5)?;
            let webhook: Arc<str> = row.try_get::<_, &str>(1)?.into();
            Ok((AttemptId::new(row.try_get(0)?), webhook, counts, error))
        };
        let values = [int(&left.after), int(&left.last)];
        let rows = match self.look(CATCH_UP, UNCOUNTED, &values, of) {
            Ok(rows) => rows,
            Err(error) => {
                self.uncounted = Some(left);
                return Err(error);
            }
        };
        for (id, webhook, (time_ms, took_us, success), error) in rows {
            self.tally
                .add(&webhook, time_ms, took_us, success, error.as_deref());
            self.tally.counted_to(id);
        }
        Ok(())
    }
}

fn mark(row: &Row) -> Read<Mark> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn write(t: &Transaction<'_>, tally: &Tally, now_ms: i64) -> Result<(), Trouble> {
    let mut sums: BTreeMap<(&str, i64, &str), Counts> = BTreeMap::new();
    for span in &SPANS {
        for ((start, webhook), counts) in &tally.counts {
            let start = start_of(*start, span.length_ms);
            let sum = sums.entry((span.name, start, webhook)).or_default();
            sum.attempts += counts.attempts;
            sum.failures += counts.failures;
            for (sum, count) in sum.le.iter_mut().zip(&counts.le) {
                *sum += count;
            }
        }
    }
    let spans: Vec<&str> = sums.keys().map(|(span, _, _)| *span).collect();
    let starts: Vec<i64> = sums.keys().map(|(_, start, _)| *start).collect();
    let names: Vec<&str> = sums.keys().map(|(_, _, name)| *name).collect();
    let attempts: Vec<i64> = sums.values().map(|counts| counts.attempts).collect();
    let failures: Vec<i64> = sums.values().map(|counts| counts.failures).collect();
    let within = |bucket: usize| sums.values().map(|counts| counts.le[bucket]).collect();
    let within: Vec<Vec<i64>> = (0..LOG_BUCKETS).map(within).collect();
    let mut values: Vec<Value<'_>> = vec![
        words(&spans),
        ints(&starts),
        words(&names),
        ints(&attempts),
        ints(&failures),
    ];
    values.extend(within.iter().map(ints));
    t.execute(&ADD, &values)?;
    let names: Vec<&str> = tally.last.keys().map(|name| &**name).collect();
    let successes: Vec<_> = tally.last.values().map(|seen| seen.success_at).collect();
    let failures: Vec<_> = tally.last.values().map(|seen| seen.failure_at).collect();
    let errors = tally.last.values();
    let errors: Vec<_> = errors
        .map(|seen| seen.error.as_deref().map(clean))
        .collect();
    let values = [
        words(&names),
        maybe_ints(&successes),
        maybe_ints(&failures),
        maybe_texts(&errors),
    ];
    t.execute(LAST, &values)?;
    let last = tally.attempt_id.get();
    t.execute(COUNTED, &[int(&last), int(&now_ms)]).map(drop)
}
