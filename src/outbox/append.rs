//! Adding events to the outbox, for the socket and the command line.
//!
//! Each call is one transaction with an fsync: what it returned is durable. Items are judged here by
//! the schema's rules, so that the answer names item and field in words for people; the table's own
//! CHECKs are behind it. A key that was seen before adds nothing, as long as its row is there.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::row::{Judge, length_fault, name_fault, reserved_fault, time_fault};
use super::table::{self, Table};
use super::wal::Keeper;
use super::{Error, connect};
use crate::model::{EventId, Vfs, crash};

/// How long a call waits for the application's transactions.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a call tries anew beside checkpoints of the application's, which end in milliseconds:
/// with a pause of as many, as long as it waits for transactions.
const TRIES: u32 = 5_000;

/// The time of an event that came without one: the schema's default, for tables that have none.
const NOW: &str = "CAST(strftime('%s', 'now') AS INTEGER) * 1000
    + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)";

/// An event to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name, 1 to 255 of `A-Z a-z 0-9 - _ . : /`.
    pub event: String,
    /// JSON text.
    pub data: String,
    /// When it happened, UNIX milliseconds; now, if it doesn't say.
    pub time_ms: Option<i64>,
    /// Whose event it is, 1 to 255 characters.
    pub tenant: Option<String>,
    /// Adds the event once, however often it is given; 1 to 255 characters.
    pub key: Option<String>,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was added, with this id.
    New(EventId),
    /// Its key was seen with the same content, and this id.
    Again(EventId),
    /// Its key was seen with other content, and this id; it was not added.
    Conflict(EventId),
}

/// Why nothing was added.
#[derive(Debug)]
pub enum AppendError {
    /// An item breaks a rule.
    Item {
        /// Which, from 0.
        index: usize,
        /// The field: `event`, `data`, `time`, `tenant` or `key`.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        reason: String,
    },
    /// An item's key was seen with other content.
    Conflict {
        /// Which item, from 0.
        index: usize,
        /// The id of the event that has the key; none of an event of the same call.
        id: EventId,
    },
    /// The outbox failed.
    Outbox(Error),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item {
                index,
                field,
                reason,
            } => write!(f, "item {}: {field} {reason}", index + 1),
            Self::Conflict { index, id } => write!(
                f,
                "item {}: key was given before, {}, with other content",
                index + 1,
                whose(*id)
            ),
            Self::Outbox(error) => error.fmt(f),
        }
    }
}

/// Which event has a key, for people.
#[must_use]
pub(crate) fn whose(id: EventId) -> String {
    if id == EventId::NONE {
        "to another of them".to_owned()
    } else {
        format!("to event {id}")
    }
}

impl StdError for AppendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Item { .. } | Self::Conflict { .. } => None,
            Self::Outbox(error) => error.source(),
        }
    }
}

/// A connection that adds events.
#[derive(Debug)]
pub struct Appender {
    connection: Connection,
    keeper: Keeper,
    path: PathBuf,
    table: Table,
    judge: Judge,
    sql: Sql,
    /// The schema by which the table was looked at.
    schema: i64,
}

/// The statements, by what columns there are.
#[derive(Debug)]
struct Sql {
    seen: String,
    insert: String,
}

impl Sql {
    fn new(table: Table) -> Self {
        let when = |there: bool, text: &'static str| if there { text } else { "" };
        let (tenant, key) = (table.tenant, table.key);
        let insert = format!(
            "INSERT INTO main.outbox (event, data, time{}{})
             VALUES (?1, ?2, coalesce(?3, {NOW}){}{}) RETURNING id",
            when(tenant, ", tenant"),
            when(key, ", key"),
            when(tenant, ", ?4"),
            when(key, ", ?5"),
        );
        let tenant = if tenant { "tenant" } else { "NULL" };
        let seen = format!(
            "SELECT id, event IS ?2 AND data IS ?3 AND (?4 IS NULL OR time IS ?4) AND {tenant} IS ?5
             FROM main.outbox WHERE key = ?1 LIMIT 1"
        );
        Self { seen, insert }
    }
}

impl Appender {
    /// [`Appender::open`], by that VFS.
    pub(crate) fn open_by(vfs: Vfs, path: &Path, max_data_bytes: usize) -> Result<Self, Error> {
        let connection = connect::to_write(path, vfs)?;
        let schema =
            schema_version(&connection).map_err(|source| connect::open_error(path, source))?;
        let table = table::inspect(&connection, path)?;
        connection
            .busy_timeout(PATIENCE)
            // With a rollback journal a commit is the journal's removal, and FULL leaves it to the
            // disk when that is: a power cut brings the journal back, and it undoes the commit.
            .and_then(|()| connection.execute_batch("PRAGMA synchronous = EXTRA"))
            .map_err(|source| connect::open_error(path, source))?;
        let judge = Judge {
            max_data_bytes,
            utf16: table.utf16,
        };
        Ok(Self {
            connection,
            keeper: Keeper::open(path, vfs)?,
            path: path.to_owned(),
            table,
            judge,
            sql: Sql::new(table),
            schema,
        })
    }

    /// Looks at the table again where somebody altered the schema: columns may have come or gone, and
    /// where ids may be given again, nothing is added any more.
    fn refresh(&mut self) -> Result<(), Error> {
        let append_error = |source| Error::Append {
            path: self.path.clone(),
            source,
        };
        let schema = schema_version(&self.connection).map_err(append_error)?;
        if schema != self.schema {
            let table = table::inspect(&self.connection, &self.path)?;
            (self.table, self.sql, self.schema) = (table, Sql::new(table), schema);
            self.judge.utf16 = table.utf16;
        }
        Ok(())
    }

    /// Adds the events in one transaction, but for those whose key was seen; what was added is
    /// durable when this returns. The answers are in the order of the events.
    ///
    /// Each stands for itself: a [`Appended::Conflict`] does not keep the others out. The same
    /// content is the same event, data to the byte and tenant, and time where one is given.
    ///
    /// # Errors
    ///
    /// Nothing was added: [`AppendError::Item`] for the first event that breaks a rule,
    /// [`AppendError::Outbox`] for the rest, busy after 5 s of waiting.
    pub fn append(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        self.add(events, false)
    }

    /// As [`append`](Self::append), all or nothing: for events that came as one request.
    ///
    /// # Errors
    ///
    /// As `append`, and [`AppendError::Conflict`].
    pub fn append_all(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        self.add(events, true)
    }

    /// Lets the connection be closed without a checkpoint: its `-wal` is no longer the database's.
    pub fn abandon(&self) {
        let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        // It only ever fails for a wrong argument.
        drop(self.connection.set_db_config(config, true));
        self.keeper.abandon();
    }

    /// Takes another limit for the longest `data` of an event.
    pub fn limit_data(&mut self, max_data_bytes: usize) {
        self.judge.max_data_bytes = max_data_bytes;
    }

    /// Judges an event without adding it, as [`append`](Self::append) would.
    ///
    /// # Errors
    ///
    /// The field, and what is wrong with it.
    pub fn check(&self, event: &NewEvent) -> Result<(), (&'static str, String)> {
        check(event, self.judge, (self.table.tenant, self.table.key))
    }

    fn add(&mut self, events: &[NewEvent], all: bool) -> Result<Vec<Appended>, AppendError> {
        self.refresh().map_err(AppendError::Outbox)?;
        check_each(events, |event| self.check(event))?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let added = self.transact(events, all);
        self.keeper.release();
        if added.is_ok() {
            self.keeper.copy_if_long();
        }
        added
    }

    fn transact(&mut self, events: &[NewEvent], all: bool) -> Result<Vec<Appended>, AppendError> {
        let append_error = |source| {
            let path = self.path.clone();
            AppendError::Outbox(Error::Append { path, source })
        };
        // Immediate, so that a key can't be added by another between looking and adding.
        let begun = self.keeper.begin(&self.connection, TRIES);
        let transaction = begun.map_err(append_error)?;
        let mut answers = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let answer = add_one(&transaction, &self.sql, self.table, event);
            match answer.map_err(append_error)? {
                // Dropping the transaction rolls it back.
                Appended::Conflict(id) if all => return Err(AppendError::Conflict { index, id }),
                answer => answers.push(answer),
            }
        }
        crash::point("append", crash::BEFORE_COMMIT);
        transaction.commit().map_err(append_error)?;
        crash::point("append", crash::COMMITTED);
        Ok(answers)
    }
}

/// A number that every change of the schema makes another. Costs some 3 µs.
fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA main.schema_version")?
        .query_row((), |row| row.get(0))
}

fn add_one(
    transaction: &Transaction<'_>,
    sql: &Sql,
    table: Table,
    event: &NewEvent,
) -> rusqlite::Result<Appended> {
    if let Some(key) = &event.key
        && let Some(seen) = seen(transaction, &sql.seen, event, key)?
    {
        return Ok(seen);
    }
    let mut statement = transaction.prepare_cached(&sql.insert)?;
    statement.raw_bind_parameter(1, &event.event)?;
    statement.raw_bind_parameter(2, &event.data)?;
    statement.raw_bind_parameter(3, event.time_ms)?;
    if table.tenant {
        statement.raw_bind_parameter(4, &event.tenant)?;
    }
    if table.key {
        statement.raw_bind_parameter(5, &event.key)?;
    }
    let mut rows = statement.raw_query();
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let id = row.get(0)?;
    while rows.next()?.is_some() {}
    Ok(Appended::New(id))
}

/// The answer for a key that has a row.
fn seen(
    transaction: &Transaction<'_>,
    sql: &str,
    event: &NewEvent,
    key: &str,
) -> rusqlite::Result<Option<Appended>> {
    let params = (key, &event.event, &event.data, event.time_ms, &event.tenant);
    transaction
        .prepare_cached(sql)?
        .query_row(params, |row| {
            let id = row.get(0)?;
            Ok(if row.get(1)? {
                Appended::Again(id)
            } else {
                Appended::Conflict(id)
            })
        })
        .optional()
}

/// Judges an event for a table that has the columns `tenant` and `key`, or not.
pub(super) fn check(
    event: &NewEvent,
    judge: Judge,
    (has_tenant, has_key): (bool, bool),
) -> Result<(), (&'static str, String)> {
    let fault = |field, fault: Option<String>| fault.map_or(Ok(()), |fault| Err((field, fault)));
    fault("event", name_fault(&event.event))?;
    fault("event", reserved_fault(&event.event))?;
    fault("data", judge.data_fault(&event.data))?;
    fault("time", event.time_ms.and_then(time_fault))?;
    fault("tenant", label_fault(event.tenant.as_deref(), has_tenant))?;
    fault("key", label_fault(event.key.as_deref(), has_key))
}

/// Judges events; the first that breaks a rule is the error.
pub(super) fn check_each(
    events: &[NewEvent],
    check: impl Fn(&NewEvent) -> Result<(), (&'static str, String)>,
) -> Result<(), AppendError> {
    for (index, event) in events.iter().enumerate() {
        check(event).map_err(|(field, reason)| AppendError::Item {
            index,
            field,
            reason,
        })?;
    }
    Ok(())
}

/// What is wrong with a tenant or a key, of a table that has the column or not.
fn label_fault(label: Option<&str>, has_column: bool) -> Option<String> {
    let label = label?;
    if !has_column {
        return Some("can't be kept: the outbox's table has no such column".to_owned());
    }
    if label.contains('\0') {
        return Some("has a NUL character".to_owned());
    }
    length_fault(label)
}
