//! Reading the outbox in the order of its ids.
//!
//! One connection that only reads. Each call is one short statement that is reset before it returns,
//! so that the application's checkpoints are never held up by a reader that sleeps. Lengths come
//! before contents: a value too long to send is never loaded. Nothing waits for a lock here, since
//! SQLite's own waiting sleeps for up to 15 ms; a busy database is an error that says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Params, StatementStatus};

use super::companion::{Companions, Standing};
use super::connect::{self, Identity};
use super::definition::Definition;
use super::row::{Columns, Judge, LOADED_NAME_BYTES, Row, Sized};
use super::table::{self, Table};
use super::{Error, Finding, inspect, journal};
use crate::model::{EventId, Vfs};

/// How many waiting rows are counted one by one, some 30 ms; beyond, the ids are subtracted.
const COUNTED_ROWS: i64 = 100_000;

/// Some rows, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The rows.
    pub rows: Vec<Row>,
    /// The keys of those that have one, `(id, key)`.
    pub keys: Vec<(EventId, Box<str>)>,
    /// There may be more behind them: read again at once.
    pub more: bool,
}

/// A row, and its `key` where it has one.
pub(crate) type Keyed = (Row, Option<Box<str>>);

/// The rows behind a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many. From 100,000 on it is what the ids would allow, which counts deleted ones too.
    pub count: i64,
    /// The time of the first of them, UNIX milliseconds; `None` without rows or a proper time.
    pub oldest_ms: Option<i64>,
}

/// A connection that reads the outbox.
#[derive(Debug)]
pub struct Tail {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) vfs: Vfs,
    /// The rollback journal, beside the real file.
    journal: PathBuf,
    identity: Identity,
    companions: Companions,
    judge: Judge,
    table: Table,
    select: Select,
    /// The schema may be another than when [`Tail::findings`] last looked.
    altered: bool,
    /// The table's SQL when it did.
    judged: Option<Definition>,
    /// `data_version` when last looked at.
    seen: Option<i64>,
    /// `data_version` before the last read that came to the end.
    settled: Option<i64>,
    /// The name of the last event, shared by runs of the same.
    name: Option<Arc<str>>,
    /// See [`vouch`](Self::vouch).
    pub(super) vouched: Option<i64>,
}

/// The two statements that load rows, and the one that asks for the size of what they did not load.
#[derive(Debug)]
struct Select {
    after: String,
    one: String,
    sizes: String,
}

impl Select {
    fn new(table: Table) -> Self {
        // Nearly no row is too long, so its size is asked for apart. A tenant is mostly NULL, and one
        // that is not loaded is an empty BLOB, as some real one may be: the size tells.
        let (tenant, loaded_tenant) = if table.tenant {
            let loaded = "CASE WHEN tenant IS NULL THEN NULL
                               WHEN octet_length(tenant) <= ?1 THEN tenant ELSE x'' END";
            ("tenant", loaded)
        } else {
            ("NULL", "NULL")
        };
        let key = if table.key {
            "CASE WHEN octet_length(key) <= ?1 THEN key END"
        } else {
            "NULL"
        };
        // octet_length() and typeof() of a column read its header only, not the pages it fills.
        let columns = format!(
            "SELECT id,
               CASE WHEN octet_length(event) <= ?1 THEN event END,
               CASE WHEN octet_length(data) <= ?2 THEN data END,
               CASE WHEN typeof(time) = 'integer' THEN time END,
               {loaded_tenant},
               {key}
             FROM main.outbox"
        );
        Self {
            sizes: format!(
                "SELECT octet_length(event), octet_length(data), octet_length({tenant})
                 FROM main.outbox WHERE id = ?1"
            ),
            after: format!("{columns} WHERE id > ?3 ORDER BY id LIMIT ?4"),
            one: format!("{columns} WHERE id = ?3"),
        }
    }
}

impl Tail {
    /// [`Tail::open`], by that VFS.
    pub(crate) fn open_by(vfs: Vfs, path: &Path, max_data_bytes: usize) -> Result<Self, Error> {
        // Taken first: if the file is exchanged meanwhile, `replaced` says so, wrongly at worst.
        let identity = Identity::of(path)?;
        let connection = connect::to_read(path, vfs)?;
        let table = table::inspect(&connection, path)?;
        let tail = Self::over(connection, path, identity, table, max_data_bytes)?;
        Ok(Self { vfs, ..tail })
    }

    /// Over a connection that has seen the table already.
    pub(super) fn over(
        connection: Connection,
        path: &Path,
        identity: Identity,
        table: Table,
        max_data_bytes: usize,
    ) -> Result<Self, Error> {
        connection
            .busy_timeout(Duration::ZERO)
            .map_err(|source| connect::open_error(path, source))?;
        let judge = Judge {
            max_data_bytes,
            utf16: table.utf16,
        };
        Ok(Self {
            connection,
            path: path.to_owned(),
            vfs: Vfs::default(),
            journal: journal::path_of(path),
            identity,
            companions: Companions::of(path),
            judge,
            table,
            select: Select::new(table),
            altered: true,
            judged: None,
            seen: None,
            settled: None,
            name: None,
            vouched: None,
        })
    }

    /// From now on waits for who holds the database, for some seconds: for a command, behind whom nothing waits.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], which SQLite never gives for an open connection.
    pub(crate) fn be_patient(&self) -> Result<(), Error> {
        let patience = connect::OPEN_PATIENCE;
        (self.connection.busy_timeout(patience))
            .map_err(|source| connect::open_error(&self.path, source))
    }

    /// Takes another limit for the longest `data` that makes an event.
    pub fn limit_data(&mut self, max_data_bytes: usize) {
        self.judge.max_data_bytes = max_data_bytes;
    }

    /// The rows with ids above `after`, at most `max_rows` (at least one is taken as the limit), and
    /// none after those whose data reach `max_bytes` together.
    ///
    /// So a batch holds less than `max_bytes` + `max_data_bytes` of data. Ids below 1, which no
    /// AUTOINCREMENT gives, are found only from below. Where reading fails behind some rows, these
    /// are returned, and the next call meets the failure.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]; a busy one means to come again at the next gap.
    pub fn read(
        &mut self,
        after: EventId,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Batch, Error> {
        let was_altered = std::mem::take(&mut self.altered);
        let mut batch = self.batch(after, max_rows, max_bytes);
        // The columns may be others now: what was read by the old ones is read again.
        if (self.altered || batch.as_ref().is_err_and(|error| !error.is_busy()))
            && self.takes_other_columns()
        {
            batch = self.batch(after, max_rows, max_bytes);
        }
        self.altered |= was_altered;
        batch
    }

    /// Looks at the columns again. Whether they are others; not where they can't be looked at.
    fn takes_other_columns(&mut self) -> bool {
        let Ok(table) = table::look(&self.connection, &self.path) else {
            return false;
        };
        let others = table != self.table;
        if others {
            self.table = table;
            self.select = Select::new(table);
            self.judge.utf16 = table.utf16;
            self.altered = true;
        }
        others
    }

    /// What is wrong with the table, where its schema may be another than at the last call; `None`
    /// where it is the same. Nothing is asked of SQLite while nobody alters the schema: a statement
    /// that it had to prepare again tells.
    ///
    /// # Errors
    ///
    /// [`Error::Open`]; the next call looks again.
    pub fn findings(&mut self) -> Result<Option<Vec<Finding>>, Error> {
        if !self.altered {
            return Ok(None);
        }
        let definition = Definition::of(&self.connection)
            .map_err(|source| connect::open_error(&self.path, source))?;
        if self.judged.as_ref() == Some(&definition) {
            self.altered = false;
            return Ok(None);
        }
        let findings = match table::repeats_ids(&self.connection, &self.path)? {
            Some(error) => vec![Finding::of(&error, true)],
            None => inspect::of_guards(&self.connection, &self.path, &definition)?,
        };
        self.judged = Some(definition);
        self.altered = false;
        Ok(Some(findings))
    }

    fn batch(&mut self, after: EventId, max_rows: usize, max_bytes: usize) -> Result<Batch, Error> {
        let max_rows = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
        let limits = (LOADED_NAME_BYTES, self.judge.loaded_data_bytes());
        let params = (limits.0, limits.1, after, max_rows);
        // Most reads find nothing, the rest a full batch or a few.
        let mut rows = Vec::new();
        let mut keys = Vec::new();
        let mut bytes = 0_usize;
        let sizes = (&self.connection, &*self.select.sizes);
        let result = each(&self.connection, &self.select.after, params, |found| {
            let row = self.judge.row(columns(found, sizes)?, &mut self.name);
            if let Row::Event(event) = &row {
                bytes = bytes.saturating_add(event.data.len());
            }
            keys.extend(key(found)?.map(|key| (row.id(), key)));
            rows.push(row);
            Ok(bytes < max_bytes)
        });
        let more = match result {
            Ok((_, true)) => {
                self.altered = true;
                !rows.is_empty()
            }
            Ok((ended, false)) => {
                !ended || i64::try_from(rows.len()).is_ok_and(|rows| rows >= max_rows)
            }
            Err(_) if !rows.is_empty() => true,
            Err(source) => return Err(self.read_error(source)),
        };
        if !more {
            self.settled = self.seen;
        }
        Ok(Batch { rows, keys, more })
    }

    /// The row with that id, as `read` would return it.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn row(&mut self, id: EventId) -> Result<Option<Row>, Error> {
        Ok(self.row_and_key(id)?.map(|(row, _)| row))
    }

    /// The row with that id, and its `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn row_and_key(&mut self, id: EventId) -> Result<Option<Keyed>, Error> {
        let params = (LOADED_NAME_BYTES, self.judge.loaded_data_bytes(), id);
        let mut found = None;
        let sizes = (&self.connection, &*self.select.sizes);
        each(&self.connection, &self.select.one, params, |row| {
            let judged = self.judge.row(columns(row, sizes)?, &mut self.name);
            found = Some((judged, key(row)?));
            Ok(true)
        })
        .map_err(|source| self.read_error(source))?;
        Ok(found)
    }

    /// The highest id ever given, by SQLite's own account; 0 before the first.
    ///
    /// It is the highest id there is, should that be higher than the account says.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn sequence(&mut self) -> Result<EventId, Error> {
        let sql = "SELECT max(
               coalesce((SELECT max(seq) FROM main.sqlite_sequence
                         WHERE name = 'outbox' COLLATE NOCASE AND typeof(seq) = 'integer'), 0),
               coalesce((SELECT max(id) FROM main.outbox), 0))";
        self.id(sql, ()).map(Option::unwrap_or_default)
    }

    /// The rows with ids above `after`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn waiting(&mut self, after: EventId) -> Result<Waiting, Error> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM main.outbox WHERE id > ?1 LIMIT ?2)";
        let counted = self.number(sql, (after, COUNTED_ROWS))?.unwrap_or(0);
        let count = if counted < COUNTED_ROWS {
            counted
        } else {
            let last = self.id("SELECT max(id) FROM main.outbox", ())?;
            last.unwrap_or_default().distance_from(after).max(counted)
        };
        let oldest_ms = self.oldest_ms(after)?;
        Ok(Waiting { count, oldest_ms })
    }

    /// The time of the first row with an id above `after`, UNIX milliseconds; `None` without rows or a
    /// proper time. Reads that row alone.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn oldest_ms(&mut self, after: EventId) -> Result<Option<i64>, Error> {
        let sql = "SELECT CASE WHEN typeof(time) = 'integer' THEN time END FROM main.outbox
                   WHERE id > ?1 ORDER BY id LIMIT 1";
        self.number(sql, (after,))
    }

    /// Whether the database changed since the last [`read`](Self::read) that came to the end.
    ///
    /// Costs some 4 µs. It stays true until a read succeeds and has no `more`, so that a change is
    /// not forgotten when the read after it finds the database busy.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]; a busy one in rollback-journal mode means to come again at the next gap.
    pub fn changed(&mut self) -> Result<bool, Error> {
        self.seen = self.number("PRAGMA data_version", ())?;
        Ok(self.seen != self.settled)
    }

    /// Whether a transaction of somebody else is under way in rollback-journal mode. A look now would
    /// see the state before it, and its shared lock would fail the commit of an application that has no
    /// busy time-out.
    #[must_use]
    pub fn being_written(&self) -> bool {
        journal::is_used(&self.journal)
    }

    /// Whether another file is under the path now, or none: open a new `Tail` then.
    #[must_use]
    pub fn replaced(&self) -> bool {
        Identity::of(&self.path).ok() != Some(self.identity)
    }

    /// When the file was made, UNIX milliseconds, where its file system says so: an UPDATE makes none.
    #[must_use]
    pub fn made_ms(&self) -> Option<i64> {
        let made = self.path.metadata().ok()?.created().ok()?;
        let since = made.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// Looks whether the `-wal` and `-shm` of this connection are still the database's. Where they
    /// are not, nothing may be read or written any more, by no connection of this process, until it
    /// starts anew; a reader gives those that are only missing some seconds to come back.
    ///
    /// # Errors
    ///
    /// [`Error::Unlinked`].
    pub fn check_companions(&self, now: Instant, patient: bool) -> Result<(), Error> {
        match self.companions.look(now) {
            Standing::Same => Ok(()),
            Standing::Missing if patient => Ok(()),
            Standing::Missing | Standing::Lost => Err(Error::Unlinked {
                path: self.path.clone(),
            }),
        }
    }

    pub(super) fn number(&self, sql: &str, params: impl Params) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional())
            .map(Option::flatten)
            .map_err(|source| self.read_error(source))
    }

    pub(super) fn read_error(&self, source: rusqlite::Error) -> Error {
        Error::Read {
            path: self.path.clone(),
            source,
        }
    }
}

/// Gives each row to `take` until that has enough. Says whether all were taken, and whether the
/// statement had to be prepared again, for the schema is another than when it last ran.
pub(super) fn each(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<(bool, bool)> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut ended = true;
    while let Some(row) = rows.next()? {
        if !take(row)? {
            ended = false;
            break;
        }
    }
    drop(rows);
    let again = statement.reset_status(StatementStatus::RePrepare) > 0;
    Ok((ended, again))
}

/// The key of a row, where it has one that is text.
fn key(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Box<str>>> {
    Ok(match row.get_ref(5)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into()),
        _ => None,
    })
}

/// The columns of a row. `sizes` is where the sizes of what was not loaded can be had: within this
/// very transaction, for the statement of the row still runs.
fn columns<'row>(
    row: &'row rusqlite::Row<'_>,
    sizes: (&Connection, &str),
) -> rusqlite::Result<Columns<'row>> {
    let whole = |value| Sized {
        value,
        octets: None,
    };
    let mut columns = Columns {
        id: row.get(0)?,
        event: whole(row.get_ref(1)?),
        data: whole(row.get_ref(2)?),
        time: row.get_ref(3)?,
        tenant: whole(row.get_ref(4)?),
    };
    let missing = |column: &Sized<'_>| column.value == ValueRef::Null;
    if missing(&columns.event)
        || missing(&columns.data)
        || columns.tenant.value == ValueRef::Blob(&[])
    {
        let (connection, sql) = sizes;
        let mut statement = connection.prepare_cached(sql)?;
        let (event, data, tenant) = statement.query_row((columns.id,), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?))
        })?;
        if missing(&columns.event) {
            columns.event.octets = event;
        }
        if missing(&columns.data) {
            columns.data.octets = data;
        }
        if tenant > Some(LOADED_NAME_BYTES) {
            columns.tenant = Sized {
                value: ValueRef::Null,
                octets: tenant,
            };
        }
    }
    Ok(columns)
}
