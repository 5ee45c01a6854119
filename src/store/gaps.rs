//! Ids that the cursor passed where the outbox had no row, so that a row which is written there later
//! is known for one that was never taken, whatever its time is and whoever looks.
//!
//! They are few, for AUTOINCREMENT leaves none: an id that was given by hand, rows that were deleted
//! before they were taken. Of an application that gives all ids itself only the newest are kept.

use std::ops::RangeInclusive;

use rusqlite::{Transaction, params};

use super::faults::DoingWith as _;
use super::{Error, Store};
use crate::model::{Cursor, EventId};

/// Kept at most: to look at all of them takes some milliseconds.
pub(super) const MOST: i64 = 1_000;

/// Written of one batch, the newest, so that taking events in costs nobody more.
pub(super) const OF_A_BATCH: usize = 16;

impl Store {
    /// The gaps below the cursor, `(first, last)`, the lowest first.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn gaps(&mut self) -> Result<Vec<RangeInclusive<EventId>>, Error> {
        self.connection
            .prepare_cached("SELECT first, last FROM gap ORDER BY first")
            .and_then(|mut statement| {
                let rows = statement.query_map((), |row| Ok(row.get(0)?..=row.get(1)?))?;
                rows.collect()
            })
            .doing_with(&self.faults, "read the gaps of the outbox")
    }
}

pub(super) fn write(t: &Transaction<'_>, gaps: &[RangeInclusive<EventId>]) -> rusqlite::Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    let mut insert =
        t.prepare_cached("INSERT OR REPLACE INTO gap (first, last) VALUES (?1, ?2)")?;
    for gap in gaps.iter().rev().take(OF_A_BATCH) {
        insert.execute(params![gap.start(), gap.end()])?;
    }
    t.prepare_cached(
        "DELETE FROM gap WHERE first <= (SELECT first FROM gap ORDER BY first DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([MOST])?;
    Ok(())
}

/// Those that a cursor which is set by itself knows nothing of: beyond it, or of other rows.
pub(super) fn forget(t: &Transaction<'_>, cursor: &Cursor) -> rusqlite::Result<()> {
    t.prepare_cached(
        "DELETE FROM gap WHERE last > ?1 OR EXISTS (SELECT 1 FROM cursor WHERE generation <> ?2)",
    )?
    .execute(params![cursor.event_id, cursor.generation])?;
    Ok(())
}

/// There is a row by now, and it was told of.
pub(super) fn close(t: &Transaction<'_>, id: EventId) -> rusqlite::Result<()> {
    let mut halves = t.prepare_cached(
        "INSERT INTO gap (first, last)
         SELECT ?1 + 1, last FROM gap WHERE first <= ?1 AND last > ?1",
    )?;
    halves.execute([id])?;
    t.prepare_cached("UPDATE gap SET last = ?1 - 1 WHERE first < ?1 AND last >= ?1")?
        .execute([id])?;
    t.prepare_cached("DELETE FROM gap WHERE first = ?1")?
        .execute([id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Generation;

    /// No name of the product's: it is no point to die at.
    const TRY: &str = "try";

    fn gap((first, last): (i64, i64)) -> RangeInclusive<EventId> {
        EventId::new(first)..=EventId::new(last)
    }

    #[test]
    fn a_gap_is_split_by_what_was_found_in_it_and_forgotten_with_its_cursor() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("l.db"), 0).unwrap();
        let cursor = |generation, event_id| Cursor {
            generation: Generation::new(generation),
            event_id: EventId::new(event_id),
            ..Cursor::default()
        };
        store.set_cursor(&cursor(1, 40), 0).unwrap();
        let mut with = |gaps: &[(i64, i64)], ids: &[i64]| {
            let gaps: Vec<_> = gaps.iter().copied().map(gap).collect();
            store
                .transact(TRY, |t| {
                    write(t, &gaps)?;
                    ids.iter().try_for_each(|id| close(t, EventId::new(*id)))
                })
                .unwrap();
            store.gaps().unwrap()
        };
        assert_eq!(with(&[(2, 2), (5, 9)], &[]), [(2, 2), (5, 9)].map(gap));
        assert_eq!(with(&[], &[7, 3]), [(2, 2), (5, 6), (8, 9)].map(gap));
        assert_eq!(with(&[], &[2, 5, 9]), [(6, 6), (8, 8)].map(gap));
        store.set_cursor(&cursor(1, 7), 0).unwrap();
        assert_eq!(store.gaps().unwrap(), [(6, 6)].map(gap));
        store.set_cursor(&cursor(2, 7), 0).unwrap();
        assert_eq!(store.gaps().unwrap(), []);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("l.db"), 0).unwrap();
        for batch in 0..100 {
            let ids = (1..=20).map(|n| 2 * n + batch * 50);
            let gaps: Vec<_> = ids.map(|id| gap((id, id))).collect();
            store.transact(TRY, |t| write(t, &gaps)).unwrap();
        }
        let kept = store.gaps().unwrap();
        assert_eq!(i64::try_from(kept.len()).unwrap(), MOST);
        assert_eq!(kept.last(), Some(&gap((4_990, 4_990))));
    }
}
