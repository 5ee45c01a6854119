//! Texts that attempts have in common, each stored once: URLs, addresses, headers.
//!
//! There is no index to find a text by: what was used lately is known by heart, within bounds, and a text
//! that fell out of them is written a second time, which costs its bytes and nothing else. A text that is
//! seen for the first time is stored in its attempt, for many are never seen again (an answer's request
//! id); at the second sight it gets a row. So what never repeats costs no more than it does itself.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{ToSql, Transaction, params};

/// Known by heart, in each of two generations: the rows of a thousand webhooks that have their own
/// URL, address, and headers both ways.
const ROWS: usize = 4_096;

/// The same, in bytes.
const BYTES: usize = 1 << 20;

/// A longer text is stored in its attempt: the headers that we send and most that come back are shorter.
const LONGEST: usize = 4 << 10;

/// Texts that were seen once, in each of two generations, 8 bytes each.
const SIGHTS: usize = 8_192;

/// `used_at` is written so often: retention leaves a text two days more than its attempts.
const DAY_MS: i64 = 86_400_000;

/// A text in an attempt's column: the row that it has, or itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Row(i64),
    Itself(Cow<'a, str>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Row(id) => id.to_sql(),
            Self::Itself(text) => text.to_sql(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: i64,
    used_at_ms: i64,
}

/// Two generations: what is used in the elder becomes one of the younger's, and when that is full the
/// elder is forgotten.
#[derive(Debug, Default)]
pub(super) struct Texts {
    is_read: bool,
    next_id: i64,
    young: HashMap<Box<str>, Known>,
    young_bytes: usize,
    elder: HashMap<Box<str>, Known>,
    /// By the address of one that is in memory anyhow, which it keeps there: nothing of it is read.
    held: HashMap<usize, (Arc<str>, Known)>,
    sights: [HashSet<u64>; 2],
    hasher: RandomState,
}

impl Texts {
    /// The row of a text, which gets one at its second sight. `None`: it is to be stored as itself.
    pub(super) fn row(
        &mut self,
        t: &Transaction<'_>,
        text: &str,
        time_ms: i64,
    ) -> rusqlite::Result<Option<i64>> {
        let known = self.known(t, text, time_ms)?;
        Ok(known.map(|known| known.id))
    }

    fn known(
        &mut self,
        t: &Transaction<'_>,
        text: &str,
        time_ms: i64,
    ) -> rusqlite::Result<Option<Known>> {
        self.read(t)?;
        if let Some(known) = self.young.get_mut(text) {
            return used(t, text, known, time_ms).map(Some);
        }
        if let Some((text, mut known)) = self.elder.remove_entry(text) {
            used(t, &text, &mut known, time_ms)?;
            self.keep(text, known);
            return Ok(Some(known));
        }
        if text.len() > LONGEST || !self.is_second_sight(text) {
            return Ok(None);
        }
        let known = Known {
            id: self.next_id,
            used_at_ms: time_ms,
        };
        write(t, text, known)?;
        self.next_id += 1;
        self.keep(text.into(), known);
        Ok(Some(known))
    }

    /// The same of a text that many attempts hold together.
    pub(super) fn row_of(
        &mut self,
        t: &Transaction<'_>,
        text: &Arc<str>,
        time_ms: i64,
    ) -> rusqlite::Result<Option<i64>> {
        let address = text.as_ptr().addr();
        if let Some((held, known)) = self.held.get_mut(&address) {
            return Ok(Some(used(t, held, known, time_ms)?.id));
        }
        let known = self.known(t, text, time_ms)?;
        if let Some(known) = known {
            if self.held.len() >= ROWS {
                self.held.clear();
            }
            self.held.insert(address, (text.clone(), known));
        }
        Ok(known.map(|known| known.id))
    }

    /// The same, for a column.
    pub(super) fn cell<'a>(
        &mut self,
        t: &Transaction<'_>,
        text: &'a str,
        time_ms: i64,
    ) -> rusqlite::Result<Cell<'a>> {
        let row = self.row(t, text, time_ms)?;
        Ok(row.map_or(Cell::Itself(Cow::Borrowed(text)), Cell::Row))
    }

    /// Learns what was used last, once.
    fn read(&mut self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.is_read {
            return Ok(());
        }
        let mut newest = t.prepare(
            "SELECT id, text, used_at FROM text ORDER BY used_at DESC, id DESC LIMIT ?1",
        )?;
        let mut rows = newest.query([i64::try_from(ROWS).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()?
            && self.young_bytes < BYTES
        {
            let text: Box<str> = row.get_ref(1)?.as_str()?.into();
            let known = Known {
                id: row.get(0)?,
                used_at_ms: row.get(2)?,
            };
            self.young_bytes += text.len();
            self.young.entry(text).or_insert(known);
        }
        let newest = "SELECT coalesce(max(id), 0) + 1 FROM text";
        self.next_id = t.query_row(newest, [], |row| row.get(0))?;
        self.is_read = true;
        Ok(())
    }

    fn keep(&mut self, text: Box<str>, known: Known) {
        if self.young.len() >= ROWS || self.young_bytes >= BYTES {
            self.elder = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += text.len();
        self.young.insert(text, known);
    }

    fn is_second_sight(&mut self, text: &str) -> bool {
        let sight = self.hasher.hash_one(text);
        let [young, elder] = &mut self.sights;
        if young.contains(&sight) || elder.contains(&sight) {
            return true;
        }
        if young.len() >= SIGHTS {
            *elder = std::mem::take(young);
        }
        young.insert(sight);
        false
    }
}

/// A day after it was last written down, it is so again: whole, for retention may have come between.
fn used(
    t: &Transaction<'_>,
    text: &str,
    known: &mut Known,
    time_ms: i64,
) -> rusqlite::Result<Known> {
    if time_ms - known.used_at_ms >= DAY_MS {
        known.used_at_ms = time_ms;
        write(t, text, *known)?;
    }
    Ok(*known)
}

fn write(t: &Transaction<'_>, text: &str, known: Known) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT OR REPLACE INTO text (id, text, used_at) VALUES (?1, ?2, ?3)")?
        .execute(params![known.id, text, known.used_at_ms])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("log.db"), 0).unwrap();
        (folder, store)
    }

    /// No name of the product's: it is no point to die at.
    const TRY: &str = "try";

    fn row(store: &mut Store, text: &str, time_ms: i64) -> Option<i64> {
        let row = |t: &Transaction<'_>, books: &mut super::super::books::Books| {
            books.texts.row(t, text, time_ms)
        };
        store.transact_by_heart(TRY, row).unwrap()
    }

    #[test]
    fn a_text_gets_a_row_at_its_second_sight_and_keeps_it_through_a_restart() {
        let (folder, mut store) = store();
        assert_eq!(row(&mut store, "a", 5), None);
        assert_eq!(row(&mut store, "a", 6), Some(1));
        assert_eq!(row(&mut store, "a", 7), Some(1));
        assert_eq!(row(&mut store, "b", 7), None);
        let long = "x".repeat(LONGEST + 1);
        assert_eq!([8, 9].map(|at| row(&mut store, &long, at)), [None, None]);
        drop(store);
        let mut store = Store::open(&folder.path().join("log.db"), 0).unwrap();
        assert_eq!(row(&mut store, "a", 8), Some(1));
        assert_eq!(row(&mut store, "b", 8), None, "sights are not kept");
        assert_eq!(row(&mut store, "b", 9), Some(2));
    }

    #[test]
    fn a_text_that_is_held_has_the_row_of_its_words() {
        let (_folder, mut store) = store();
        let held = |store: &mut Store, text: &Arc<str>, time_ms| {
            let row = |t: &Transaction<'_>, books: &mut super::super::books::Books| {
                books.texts.row_of(t, text, time_ms)
            };
            store.transact_by_heart(TRY, row).unwrap()
        };
        let a: Arc<str> = "a".into();
        assert_eq!([1, 2].map(|at| held(&mut store, &a, at)), [None, Some(1)]);
        assert_eq!(row(&mut store, "a", 3), Some(1));
        let again: Arc<str> = "a".into();
        assert_eq!(held(&mut store, &again, 4), Some(1));
        store.connection.execute("DELETE FROM text", []).unwrap();
        assert_eq!(held(&mut store, &a, 2 + DAY_MS), Some(1));
        let sql = "SELECT used_at FROM text WHERE id = 1 AND text = 'a'";
        let used_at = |store: &Store| store.connection.query_row(sql, [], |row| row.get(0));
        assert_eq!(used_at(&store), Ok(2 + DAY_MS), "written again after a day");
        for n in 0..3 * ROWS {
            let text: Arc<str> = format!("{n}").into();
            assert!([1, 2].map(|at| held(&mut store, &text, at))[1].is_some());
        }
        assert!(store.books.texts.held.len() <= ROWS);
    }

    #[test]
    fn a_text_that_retention_took_is_written_again_when_it_is_used_again() {
        let (_folder, mut store) = store();
        assert_eq!([1, 2].map(|at| row(&mut store, "a", at)), [None, Some(1)]);
        let used_at = |store: &Store| -> i64 {
            let sql = "SELECT used_at FROM text WHERE id = 1 AND text = 'a'";
            store
                .connection
                .query_row(sql, [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(row(&mut store, "a", 1 + DAY_MS), Some(1));
        assert_eq!(used_at(&store), 2, "not yet a day");
        store.connection.execute("DELETE FROM text", []).unwrap();
        assert_eq!(row(&mut store, "a", 2 + DAY_MS), Some(1));
        assert_eq!(used_at(&store), 2 + DAY_MS);
    }

    #[test]
    fn what_a_failed_transaction_wrote_is_forgotten() {
        let (_folder, mut store) = store();
        row(&mut store, "a", 1);
        let failed = store.transact_by_heart(TRY, |t, books| {
            books.texts.row(t, "a", 2)?;
            Err::<(), _>(rusqlite::Error::QueryReturnedNoRows)
        });
        assert!(failed.is_err());
        assert_eq!([3, 4].map(|at| row(&mut store, "a", at)), [None, Some(1)]);
    }

    #[test]
    fn what_is_known_is_bounded_and_what_is_used_stays_known() {
        let (_folder, mut store) = store();
        assert_eq!(
            [1, 2].map(|at| row(&mut store, "used", at)),
            [None, Some(1)]
        );
        for n in 0..3 * ROWS {
            let text = format!("{n}");
            assert!([1, 2].map(|at| row(&mut store, &text, at))[1].is_some());
            if n % 1_000 == 0 {
                assert_eq!(row(&mut store, "used", 2), Some(1));
            }
        }
        let texts = &store.books.texts;
        assert!(texts.young.len() <= ROWS && texts.elder.len() <= ROWS);
        assert!(texts.sights.iter().all(|sights| sights.len() <= SIGHTS));
    }
}
