//! Deleting old rows from the outbox, a few at a time.
//!
//! The application writes to the same database, so each call is one short transaction that gives way
//! when the application is writing or checkpoints. Nothing of the database is set, no space is given
//! back: pages that become free are the application's to use again. Which rows are old enough is the
//! caller's to say; AUTOINCREMENT keeps their ids from being given again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::wal::Keeper;
use super::{Error, connect, table};
use crate::model::crash;

/// How long a call waits for the application's transaction to end before it gives way.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often a call tries anew beside the application's checkpoint, with 1 ms in between.
const TRIES: u32 = 20;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// So many rows were deleted; fewer than the limit means that there are no more.
    Rows(usize),
    /// Another connection was writing: try again later.
    Busy,
}

/// A connection that deletes old rows.
#[derive(Debug)]
pub struct Pruner {
    connection: Connection,
    keeper: Keeper,
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
            keeper: Keeper::open(path)?,
            path: path.to_owned(),
        })
    }

    /// Deletes the oldest rows with ids up to `up_to_id`, at most `limit` of them, durably.
    ///
    /// May wait for some 20 ms. A foreign key of the application's that refers to the rows is obeyed.
    ///
    /// # Errors
    ///
    /// [`Error::Prune`].
    pub fn delete(&mut self, up_to_id: i64, limit: usize) -> Result<Pruned, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "DELETE FROM main.outbox WHERE id IN
                   (SELECT id FROM main.outbox WHERE id <= ?1 ORDER BY id LIMIT ?2)";
        let mut transact = || {
            let transaction = self.keeper.begin(&self.connection, TRIES)?;
            let rows = transaction
                .prepare_cached(sql)?
                .execute((up_to_id, limit))?;
            transaction.commit()?;
            Ok(rows)
        };
        let deleted = transact().map_err(|source| Error::Prune {
            path: self.path.clone(),
            source,
        });
        self.keeper.release();
        self.keeper.copy_if_long();
        match deleted {
            Ok(rows) => {
                crash::point("prune the outbox", "deleted");
                Ok(Pruned::Rows(rows))
            }
            Err(error) if error.is_busy() => Ok(Pruned::Busy),
            Err(error) => Err(error),
        }
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
        assert_eq!(pruner.delete(7, 3).unwrap(), Pruned::Rows(3));
        assert_eq!(ids(), [4, 5, 6, 7, 8, 9, 10]);
        app.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(pruner.delete(7, 3).unwrap(), Pruned::Busy);
        app.execute_batch("COMMIT").unwrap();
        assert_eq!(pruner.delete(7, 30).unwrap(), Pruned::Rows(4));
        assert_eq!(pruner.delete(7, 30).unwrap(), Pruned::Rows(0));
        assert_eq!(pruner.delete(i64::MAX, 30).unwrap(), Pruned::Rows(3));
        app.execute(insert, ()).unwrap();
        assert_eq!(ids().first(), Some(&11), "an id was given again");
    }
}
