//! Deleting old rows from the outbox, a few at a time.
//!
//! The application writes to the same database, so each call is one short transaction that gives way
//! when the application is writing. Nothing of the database is set, no checkpoint is asked for, no
//! space is given back: pages that become free are the application's to use again. Which rows are
//! old enough is the caller's to say; AUTOINCREMENT keeps their ids from being given again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::{Error, connect, table};
use crate::model::crash;

/// How long a call waits for the application's transaction to end before it gives way.
const PATIENCE: Duration = Duration::from_millis(20);

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// So many rows were deleted; fewer than the limit means that there are no more.
    Rows(usize),
    /// Another connection was writing: try again later.
    Busy,
    /// The caller did not want it: nothing was deleted.
    Kept,
}

/// A connection that deletes old rows.
#[derive(Debug)]
pub struct Pruner {
    connection: Connection,
    path: PathBuf,
}

impl Pruner {
    /// Opens the outbox at `path`, which must have a proper table.
    ///
    /// # Errors
    ///
    /// As [`Tail::open`](super::Tail::open).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect::to_write(path)?;
        table::inspect(&connection, path)?;
        connection
            .busy_timeout(PATIENCE)
            .map_err(|source| connect::open_error(path, source))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// Deletes the oldest rows with ids up to `up_to_id`, at most `limit` of them, durably, where
    /// `wanted` says so once nobody else can write: what it sees is what is deleted.
    ///
    /// May wait for 20 ms. A foreign key of the application's that refers to the rows is obeyed.
    ///
    /// # Errors
    ///
    /// [`Error::Prune`], and those of `wanted`.
    pub fn delete(
        &mut self,
        up_to_id: i64,
        limit: usize,
        wanted: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<Pruned, Error> {
        let pruned = match self.has_any(up_to_id) {
            Ok(false) => return Ok(Pruned::Rows(0)),
            Ok(true) => self.try_to_delete(up_to_id, limit, wanted),
            Err(error) => Err(error),
        };
        match pruned {
            Ok(pruned) => {
                crash::point("prune the outbox", "deleted");
                Ok(pruned)
            }
            Err(error) if error.is_busy() => Ok(Pruned::Busy),
            Err(error) => Err(error),
        }
    }

    /// Whether there are any such rows: mostly there are none, and nobody need be locked out for that.
    fn has_any(&self, up_to_id: i64) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM main.outbox WHERE id <= ?1)";
        self.connection
            .query_row(sql, [up_to_id], |row| row.get(0))
            .map_err(|source| Error::Prune {
                path: self.path.clone(),
                source,
            })
    }

    fn try_to_delete(
        &mut self,
        up_to_id: i64,
        limit: usize,
        wanted: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<Pruned, Error> {
        let prune_error = |source| {
            let path = self.path.clone();
            Error::Prune { path, source }
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "DELETE FROM main.outbox WHERE id IN
                   (SELECT id FROM main.outbox WHERE id <= ?1 ORDER BY id LIMIT ?2)";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(prune_error)?;
        if !wanted()? {
            return Ok(Pruned::Kept);
        }
        let rows = transaction
            .execute(sql, (up_to_id, limit))
            .map_err(prune_error)?;
        transaction.commit().map_err(prune_error)?;
        Ok(Pruned::Rows(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::create_if_missing;

    #[test]
    fn the_oldest_go_in_small_batches_and_a_writer_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        create_if_missing(&path).unwrap();
        let app = Connection::open(&path).unwrap();
        let insert = "INSERT INTO outbox (event, data)
            SELECT 'a', '{}' FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            WHERE i < 10) SELECT * FROM n)";
        app.execute(insert, ()).unwrap();
        let ids = || -> Vec<i64> {
            let mut statement = app.prepare("SELECT id FROM outbox").unwrap();
            let ids = statement.query_map((), |row| row.get(0)).unwrap();
            ids.map(Result::unwrap).collect()
        };
        let mut pruner = Pruner::open(&path).unwrap();
        assert_eq!(pruner.delete(7, 3, || Ok(true)).unwrap(), Pruned::Rows(3));
        assert_eq!(ids(), [4, 5, 6, 7, 8, 9, 10]);
        app.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(pruner.delete(7, 3, || Ok(true)).unwrap(), Pruned::Busy);
        app.execute_batch("COMMIT").unwrap();
        assert_eq!(pruner.delete(7, 30, || Ok(true)).unwrap(), Pruned::Rows(4));
        assert_eq!(pruner.delete(7, 30, || Ok(true)).unwrap(), Pruned::Rows(0));
        assert_eq!(
            pruner.delete(i64::MAX, 30, || Ok(true)).unwrap(),
            Pruned::Rows(3)
        );
        app.execute(insert, ()).unwrap();
        assert_eq!(ids().first(), Some(&11), "an id was given again");
        assert_eq!(
            pruner.delete(i64::MAX, 30, || Ok(false)).unwrap(),
            Pruned::Kept
        );
        let looks_before_it_deletes = || {
            let busy = Connection::open(&path).unwrap();
            busy.busy_timeout(Duration::ZERO).unwrap();
            assert!(busy.execute(insert, ()).is_err(), "nobody else writes");
            Ok(ids().len() == 10)
        };
        let pruned = pruner.delete(i64::MAX, 30, looks_before_it_deletes);
        assert_eq!(pruned.unwrap(), Pruned::Rows(10));
    }
}
