//! Many rows of one table by few statements.
//!
//! SQLite opens the table and its indexes once for each statement, finds the place of a row that
//! comes last without a search where the one before it came last too, and keeps AUTOINCREMENT's
//! books at a statement's end. So rows are inserted in groups: 32 in one statement take a quarter
//! less CPU than 32 statements. What the columns mean is said by the callers.

use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, ToSql, Transaction};

/// Rows in one statement, largest first. More than 32 gain nothing, and each is kept prepared.
const GROUPS: [usize; 3] = [32, 8, 1];

/// An INSERT of rows whose ids follow each other.
pub(super) struct Insert {
    /// `INSERT OR ROLLBACK INTO ... (...)`, without values. With ABORT, which is the default, SQLite
    /// would keep a copy of every page that a statement of several rows changes, to take back the
    /// statement alone.
    pub(super) into: &'static str,
    /// The values of a row, `(?, ?, ...)`.
    pub(super) row: &'static str,
}

impl Insert {
    /// Inserts `rows`, each with the values that `bind` gives, and returns the first one's id. Those
    /// behind it follow one by one, for nobody else inserts in this transaction.
    pub(super) fn all<'r, R>(
        &self,
        t: &Transaction<'_>,
        rows: &'r [R],
        mut bind: impl FnMut(&'r R, &mut Values<'_, '_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<i64> {
        let mut left = rows;
        for size in GROUPS {
            if left.len() < size {
                continue;
            }
            let mut statement = t.prepare_cached(&self.sql(size))?;
            while let Some((group, rest)) = left.split_at_checked(size) {
                let mut values = Values {
                    statement: &mut statement,
                    bound: 0,
                };
                group.iter().try_for_each(|row| bind(row, &mut values))?;
                statement.raw_execute()?;
                left = rest;
            }
        }
        let rows = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        Ok(t.last_insert_rowid() - rows + 1)
    }

    fn sql(&self, rows: usize) -> String {
        format!("{} VALUES {}", self.into, vec![self.row; rows].join(", "))
    }
}

/// Deletes the rows of a table that have these ids, of which there may be none. Returns how many there were.
pub(super) fn delete<I: ToSql + Copy>(
    t: &Transaction<'_>,
    from: &'static str,
    ids: &[I],
) -> rusqlite::Result<usize> {
    let (mut left, mut deleted) = (ids, 0);
    for size in GROUPS {
        while let Some((group, rest)) = left.split_at_checked(size) {
            let places = vec!["?"; size].join(", ");
            let mut statement =
                t.prepare_cached(&format!("DELETE FROM {from} WHERE id IN ({places})"))?;
            for (index, id) in group.iter().enumerate() {
                statement.raw_bind_parameter(index + 1, id)?;
            }
            deleted += statement.raw_execute()?;
            left = rest;
        }
    }
    Ok(deleted)
}

/// The ids that a query of one column finds.
pub(super) fn ids<C: FromIterator<I>, I: FromSql>(
    t: &Transaction<'_>,
    sql: &str,
) -> rusqlite::Result<C> {
    let mut statement = t.prepare_cached(sql)?;
    let ids = statement.query_map([], |row| row.get(0))?;
    ids.collect()
}

/// Takes the values of rows, in the order of their columns.
pub(super) struct Values<'v, 't> {
    statement: &'v mut CachedStatement<'t>,
    bound: usize,
}

impl Values<'_, '_> {
    pub(super) fn add(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value)
    }
}

/// TEXT where people can read it. A NUL would end the text for SQL's functions and the shell.
pub(super) fn text_or_blob(body: &[u8]) -> ToSqlOutput<'_> {
    let readable = !body.contains(&0) && std::str::from_utf8(body).is_ok();
    ToSqlOutput::Borrowed(if readable {
        ValueRef::Text(body)
    } else {
        ValueRef::Blob(body)
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn rows_keep_their_order_and_follow_each_other_whatever_their_number() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n, word)")
            .unwrap();
        let insert = Insert {
            into: "INSERT OR ROLLBACK INTO t (n, word)",
            row: "(?, ?)",
        };
        let mut before = 0;
        for count in [1, 7, 8, 31, 32, 33, 75] {
            let t = connection.transaction().unwrap();
            let rows: Vec<i64> = (before..before + count).collect();
            let bind = |n: &i64, values: &mut Values<'_, '_>| {
                values.add(n)?;
                values.add(format!("word {n}"))
            };
            assert_eq!(insert.all(&t, &rows, bind).unwrap(), before + 1);
            t.commit().unwrap();
            before += count;
        }
        let right: i64 = connection
            .query_row(
                "SELECT count(*) FROM t WHERE id = n + 1 AND word = 'word ' || n",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(right, before);
    }
}
