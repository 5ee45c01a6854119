//! The roll-up: attempts counted by webhook in spans of time.
//!
//! What `record` commits is counted in memory and written once a second, together with the id of the last attempt
//! counted; attempts above that id are counted again from their rows when the log is opened, so a crash loses none.
//! Left out: the rows that go (`retains`).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tokio_postgres::Row;

use super::values::{clean, int, ints, maybe_ints, maybe_texts, words};
use super::{Transaction, Writer};
use crate::model::{AttemptId, LOG_BUCKETS, LOG_EDGES_MS};
use crate::postgres::{Trouble, Value};
use crate::store::Error;
use crate::store::tally::{Counts, SPANS, Tally, start_of};

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

/// Attempts that no roll-up has counted.
const UNCOUNTED: &str = "SELECT id, webhook, time, duration_us, outcome IN ('delivered', 'again'), error
   FROM webhooksd.attempt WHERE id > coalesce((SELECT attempt_id FROM webhooksd.rolled_up), 0) ORDER BY id";

impl Writer {
    /// Writes what was counted; `synced`: and has the disk keep it with every earlier commit.
    pub(super) fn write_rollup(&mut self, now_ms: i64, synced: bool) -> Result<(), Error> {
        let tally = std::mem::take(&mut self.tally);
        let written = self.transact("write the roll-up", |t| {
            if synced {
                t.execute("SET LOCAL synchronous_commit = on", &[])?;
            }
            write(t, &tally, now_ms)
        });
        if written.is_err() {
            self.tally = tally;
        }
        written
    }

    /// Counts the attempts that no roll-up has counted.
    pub(super) fn catch_up(&mut self, now_ms: i64) -> Result<(), Error> {
        const STEP: &str = "count the attempts since the last roll-up";
        let mut tally = Tally::default();
        let of = |row: &Row| {
            let counts = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let error: Option<String> = row.try_get(5)?;
            let webhook: Arc<str> = row.try_get::<_, &str>(1)?.into();
            Ok((AttemptId::new(row.try_get(0)?), webhook, counts, error))
        };
        for (id, webhook, (time_ms, took_us, success), error) in
            self.look(STEP, UNCOUNTED, &[], of)?
        {
            tally.add(&webhook, time_ms, took_us, success, error.as_deref());
            tally.counted_to(id);
        }
        if !tally.is_empty() {
            self.tally = tally;
            self.write_rollup(now_ms, false)?;
        }
        Ok(())
    }
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
