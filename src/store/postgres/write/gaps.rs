//! Ids that the cursor passed where the outbox had no row, as a log in SQLite has them.

use std::ops::RangeInclusive;

use super::Transaction;
use super::values::{int, ints};
use crate::model::{Cursor, EventId};
use crate::postgres::Trouble;
use crate::store::gaps::{MOST, OF_A_BATCH};

pub(super) fn write(t: &Transaction<'_>, gaps: &[RangeInclusive<EventId>]) -> Result<(), Trouble> {
    if gaps.is_empty() {
        return Ok(());
    }
    let newest = || gaps.iter().rev().take(OF_A_BATCH);
    let firsts: Vec<i64> = newest().map(|gap| gap.start().get()).collect();
    let lasts: Vec<i64> = newest().map(|gap| gap.end().get()).collect();
    let sql = "INSERT INTO webhooksd.gap SELECT * FROM unnest($1::bigint[], $2::bigint[])
        ON CONFLICT (first) DO UPDATE SET last = excluded.last";
    t.execute(sql, &[ints(&firsts), ints(&lasts)])?;
    let sql = "DELETE FROM webhooksd.gap WHERE first <=
        (SELECT first FROM webhooksd.gap ORDER BY first DESC LIMIT 1 OFFSET $1)";
    t.execute(sql, &[int(&MOST)]).map(drop)
}

/// Those that a cursor which is set by itself knows nothing of: beyond it, or of other rows.
pub(super) fn forget(t: &Transaction<'_>, cursor: &Cursor) -> Result<(), Trouble> {
    let sql = "DELETE FROM webhooksd.gap WHERE last > $1
        OR EXISTS (SELECT FROM webhooksd.cursor WHERE generation <> $2)";
    let (event_id, generation) = (cursor.event_id.get(), cursor.generation.get());
    t.execute(sql, &[int(&event_id), int(&generation)])
        .map(drop)
}

/// There is a row by now, and it was told of.
pub(super) fn close(t: &Transaction<'_>, id: EventId) -> Result<(), Trouble> {
    for sql in [
        "INSERT INTO webhooksd.gap SELECT $1 + 1, last FROM webhooksd.gap WHERE first <= $1 AND last > $1",
        "UPDATE webhooksd.gap SET last = $1 - 1 WHERE first < $1 AND last >= $1",
        "DELETE FROM webhooksd.gap WHERE first = $1",
    ] {
        t.execute(sql, &[int(&id.get())])?;
    }
    Ok(())
}
