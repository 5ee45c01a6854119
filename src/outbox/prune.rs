//! Deleting old rows from the outbox, a few at a time.
//!
//! The application writes to the same database, so each call is one short transaction that gives way
//! when the application is writing or checkpoints. Nothing of the database is set, no space is given
//! back: pages that become free are the application's to use again. Which rows are old enough is the
//! caller's to say; AUTOINCREMENT keeps their ids from being given again.
//!
//! A row may be one that the application keeps: a foreign key or a trigger of its own refuses the
//! deletion, at once or at the commit, or skips it. Such a row is left, and told of, and those behind
//! it go: a chunk that is refused is halved until what refuses is alone, which costs no more than
//! twice the chunk's rows however many refuse, and the next chunk begins behind it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, ffi};

use super::wal::Keeper;
use super::{Error, connect, table};
use crate::model::{EventId, IdRange, Vfs, crash};

/// How long a call waits for the application's transaction to end before it gives way.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often a call tries anew beside the application's checkpoint, with 1 ms in between.
const TRIES: u32 = 20;
const DELETE: &str = "DELETE FROM main.outbox WHERE id = ?1";

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pruned {
    /// A chunk was gone through.
    Rows(Chunk),
    /// Another connection was writing: try again later.
    Busy,
    /// The caller did not want it: nothing was deleted.
    Kept,
}

/// What became of a chunk of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Rows that were deleted.
    pub deleted: usize,
    /// Rows that the application keeps.
    pub kept: Option<Kept>,
    /// The id behind which the next chunk begins; `None` where there are no more rows.
    pub next: Option<EventId>,
}

/// Rows that can't be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: EventId,
    /// What refused it.
    pub why: String,
}

impl Chunk {
    fn keep(&mut self, id: EventId, why: impl FnOnce() -> String) {
        let first = || Kept {
            count: 0,
            first: id,
            why: why(),
        };
        self.kept.get_or_insert_with(first).count += 1;
    }
}

/// A connection that deletes old rows.
#[derive(Debug)]
pub(crate) struct Pruner {
    connection: Connection,
    keeper: Keeper,
    path: PathBuf,
}

impl Pruner {
    /// Opens the outbox at `path`, which must have a proper table: where ids may be given again, no
    /// row is deleted.
    ///
    /// # Errors
    ///
    /// As [`Tail::open`](super::Tail::open).
    pub(crate) fn open(path: &Path, vfs: Vfs) -> Result<Self, Error> {
        let connection = connect::to_write(path, vfs)?;
        table::inspect(&connection, path)?;
        connection
            .busy_timeout(PATIENCE)
            .map_err(|source| connect::open_error(path, source))?;
        Ok(Self {
            connection,
            keeper: Keeper::open(path, vfs)?,
            path: path.to_owned(),
        })
    }

    /// Deletes the oldest rows with ids in `between`, at most `limit` of them,
    /// durably, where `wanted` says so once nobody else can write: what it sees is what is deleted. Those
    /// that the application keeps stay.
    ///
    /// May wait for some 20 ms. A foreign key of the application's that refers to the rows is obeyed.
    ///
    /// # Errors
    ///
    /// [`Error::Prune`], and those of `wanted`.
    pub(crate) fn delete(
        &mut self,
        between: IdRange<EventId>,
        limit: usize,
        mut wanted: impl FnMut() -> Result<bool, Error>,
    ) -> Result<Pruned, Error> {
        let deleted = self.chunk(between, limit, &mut wanted);
        self.keeper.release();
        self.keeper.copy_if_long();
        match deleted {
            Ok(pruned) => {
                crash::point("prune the outbox", "deleted");
                Ok(pruned)
            }
            Err(error) if error.is_busy() => Ok(Pruned::Busy),
            Err(error) => Err(error),
        }
    }

    fn chunk(
        &mut self,
        between: IdRange<EventId>,
        limit: usize,
        wanted: &mut dyn FnMut() -> Result<bool, Error>,
    ) -> Result<Pruned, Error> {
        let prune_error = |source| Error::Prune {
            path: self.path.clone(),
            source,
        };
        let ids = self.ids(between, limit).map_err(prune_error)?;
        // A trigger that can't even be prepared refuses all rows alike: that is one error, told once.
        drop(
            self.connection
                .prepare_cached(DELETE)
                .map_err(prune_error)?,
        );
        let mut chunk = Chunk {
            next: ids.last().copied().filter(|_| ids.len() >= limit),
            ..Chunk::default()
        };
        let mut slices = vec![ids.as_slice()];
        while let Some(slice) = slices.pop() {
            let Some(first) = slice.first() else {
                continue;
            };
            match self.delete_all(slice, &mut chunk, wanted) {
                Ok(true) => {}
                Ok(false) => return Ok(Pruned::Kept),
                Err(Error::Prune { source, .. }) if is_refusal(&source) => {
                    match slice.split_at(slice.len() / 2) {
                        ([], _) => chunk.keep(*first, || source.to_string()),
                        (left, right) => slices.extend([right, left]),
                    }
                }
                // The application writes again: the next call begins here.
                Err(_) if chunk.deleted > 0 || chunk.kept.is_some() => {
                    chunk.next = Some(first.back(1));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Pruned::Rows(chunk))
    }

    fn ids(&self, between: IdRange<EventId>, limit: usize) -> rusqlite::Result<Vec<EventId>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT id FROM main.outbox WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement
            .query_map((between.after, between.up_to, limit), |row| row.get(0))?
            .collect()
    }

    /// Deletes these rows or none of them; false where they are not wanted gone.
    fn delete_all(
        &mut self,
        ids: &[EventId],
        chunk: &mut Chunk,
        wanted: &mut dyn FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let prune_error = |source| Error::Prune {
            path: self.path.clone(),
            source,
        };
        let transaction = self
            .keeper
            .begin(&self.connection, TRIES)
            .map_err(prune_error)?;
        if !wanted()? {
            return Ok(false);
        }
        let (deleted, skipped) = delete_each(&transaction, ids).map_err(prune_error)?;
        transaction.commit().map_err(prune_error)?;
        chunk.deleted += deleted;
        for id in skipped {
            chunk.keep(id, || "a trigger of the application's skips it".to_owned());
        }
        Ok(true)
    }
}

/// How many of the rows were deleted, and which a trigger kept without a word.
fn delete_each(
    connection: &Connection,
    ids: &[EventId],
) -> rusqlite::Result<(usize, Vec<EventId>)> {
    let (mut deleted, mut skipped) = (0, Vec::new());
    let mut delete = connection.prepare_cached(DELETE)?;
    let mut look = connection.prepare_cached("SELECT 1 FROM main.outbox WHERE id = ?1")?;
    for id in ids {
        // Others may have deleted it meanwhile.
        match delete.execute([id])? {
            0 if look.exists([id])? => skipped.push(*id),
            rows => deleted += rows,
        }
    }
    Ok((deleted, skipped))
}

/// Whether it is about the row, and not about the disk, the file or who else is writing.
fn is_refusal(error: &rusqlite::Error) -> bool {
    let about_rows = [
        ErrorCode::ConstraintViolation,
        ErrorCode::TypeMismatch,
        ErrorCode::TooBig,
    ];
    error.sqlite_error().is_some_and(|failure| {
        about_rows.contains(&failure.code) || failure.extended_code == ffi::SQLITE_ERROR
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::create_if_missing;

    const MANY: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
        INSERT INTO outbox (event, data) SELECT 'a', '{}' FROM n";

    /// An outbox with rows 1 to 10, and the application's connection to it.
    fn outbox() -> (tempfile::TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        create_if_missing(&path).unwrap();
        let app = Connection::open(&path).unwrap();
        app.execute(MANY, ()).unwrap();
        (folder, path, app)
    }

    fn ids(app: &Connection) -> Vec<i64> {
        let mut statement = app.prepare("SELECT id FROM outbox").unwrap();
        let ids = statement.query_map((), |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    }

    fn rows(deleted: usize, next: Option<i64>) -> Pruned {
        Pruned::Rows(Chunk {
            deleted,
            kept: None,
            next: next.map(EventId::new),
        })
    }

    fn between(after: i64, up_to: i64) -> IdRange<EventId> {
        let (after, up_to) = (EventId::new(after), EventId::new(up_to));
        IdRange { after, up_to }
    }

    #[test]
    fn the_oldest_go_in_small_batches_and_a_writer_goes_first() {
        let (_folder, path, app) = outbox();
        let mut pruner = Pruner::open(&path, Vfs::default()).unwrap();
        assert_eq!(
            pruner.delete(between(0, 7), 3, || Ok(true)).unwrap(),
            rows(3, Some(3))
        );
        assert_eq!(ids(&app), [4, 5, 6, 7, 8, 9, 10]);
        app.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(
            pruner.delete(between(0, 7), 3, || Ok(true)).unwrap(),
            Pruned::Busy
        );
        app.execute_batch("COMMIT").unwrap();
        assert_eq!(
            pruner.delete(between(3, 7), 30, || Ok(true)).unwrap(),
            rows(4, None)
        );
        assert_eq!(
            pruner.delete(between(0, 7), 30, || Ok(true)).unwrap(),
            rows(0, None)
        );
        assert_eq!(
            pruner
                .delete(between(0, i64::MAX), 30, || Ok(true))
                .unwrap(),
            rows(3, None)
        );
        app.execute(MANY, ()).unwrap();
        assert_eq!(ids(&app).first(), Some(&11), "an id was given again");
        let all = between(0, i64::MAX);
        assert_eq!(pruner.delete(all, 30, || Ok(false)).unwrap(), Pruned::Kept);
        let looks_before_it_deletes = || {
            let busy = Connection::open(&path).unwrap();
            busy.busy_timeout(Duration::ZERO).unwrap();
            assert!(busy.execute(MANY, ()).is_err(), "nobody else writes");
            Ok(ids(&app).len() == 10)
        };
        let pruned = pruner.delete(all, 30, looks_before_it_deletes);
        assert_eq!(pruned.unwrap(), rows(10, None));
    }

    #[test]
    fn rows_that_the_application_keeps_are_left_and_the_others_go() {
        let refuses = |how: &str| {
            format!(
                "CREATE TRIGGER mine BEFORE DELETE ON outbox WHEN OLD.id IN (3, 8)
                 BEGIN SELECT {how}; END"
            )
        };
        let refers = "CREATE TABLE mine (event REFERENCES outbox (id) DEFERRABLE INITIALLY MODE);
                      INSERT INTO mine VALUES (3), (8)";
        for (sql, why) in [
            (refuses("RAISE(ABORT, 'an audit')"), "an audit"),
            (refuses("RAISE(ROLLBACK, 'an audit')"), "an audit"),
            (refuses("RAISE(FAIL, 'an audit')"), "an audit"),
            (refuses("RAISE(IGNORE)"), "skips it"),
            (refuses("json_extract('{', '$')"), "malformed JSON"),
            (refers.replace("MODE", "IMMEDIATE"), "FOREIGN KEY"),
            (refers.replace("MODE", "DEFERRED"), "FOREIGN KEY"),
        ] {
            let (_folder, path, app) = outbox();
            app.execute_batch(&sql).unwrap();
            let mut pruner = Pruner::open(&path, Vfs::default()).unwrap();
            let Pruned::Rows(first) = pruner.delete(between(0, 9), 5, || Ok(true)).unwrap() else {
                panic!("{sql}: busy");
            };
            assert_eq!(first.deleted, 4, "{sql}");
            assert_eq!(first.next.map(EventId::get), Some(5), "{sql}");
            let kept = first.kept.unwrap();
            assert_eq!((kept.count, kept.first.get()), (1, 3), "{sql}");
            assert!(kept.why.contains(why), "{sql}: {}", kept.why);
            let Pruned::Rows(second) = pruner.delete(between(5, 9), 5, || Ok(true)).unwrap() else {
                panic!("{sql}: busy");
            };
            assert_eq!((second.deleted, second.next), (3, None), "{sql}");
            assert_eq!(second.kept.map(|kept| kept.first.get()), Some(8), "{sql}");
            assert_eq!(ids(&app), [3, 8, 10], "{sql}");
        }
    }

    #[test]
    fn where_no_row_may_go_one_pass_over_them_is_all() {
        let (_folder, path, app) = outbox();
        app.execute_batch(
            "CREATE TRIGGER mine BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'kept'); END",
        )
        .unwrap();
        let mut pruner = Pruner::open(&path, Vfs::default()).unwrap();
        let Pruned::Rows(chunk) = pruner.delete(between(0, 10), 30, || Ok(true)).unwrap() else {
            panic!("busy");
        };
        assert_eq!((chunk.deleted, chunk.next), (0, None));
        assert_eq!(chunk.kept.unwrap().count, 10);
        assert_eq!(ids(&app).len(), 10);
    }

    #[test]
    fn a_trigger_that_cannot_run_at_all_is_one_error() {
        let (_folder, path, app) = outbox();
        let sql =
            "CREATE TRIGGER mine AFTER DELETE ON outbox BEGIN SELECT only_the_app(OLD.id); END";
        app.execute_batch(sql).unwrap();
        let error = Pruner::open(&path, Vfs::default())
            .unwrap()
            .delete(between(0, 10), 30, || Ok(true))
            .unwrap_err();
        assert!(matches!(error, Error::Prune { .. }), "{error:?}");
        assert_eq!(ids(&app).len(), 10);
    }
}
