//! The application of a simulation: what it writes past the table's rules, and its backups.
//!
//! What it writes by the rules goes through [`super::Appender`]. Nothing here is part of the product.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::model::Vfs;

/// Where the database is, and the VFS that it is opened with.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    path: &'a Path,
    vfs: Vfs,
}

impl<'a> From<&'a PathBuf> for At<'a> {
    fn from(path: &'a PathBuf) -> Self {
        (path, Vfs::default()).into()
    }
}

impl<'a> From<(&'a PathBuf, Vfs)> for At<'a> {
    fn from((path, vfs): (&'a PathBuf, Vfs)) -> Self {
        Self { path, vfs }
    }
}

fn open(At { path, vfs }: At<'_>) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(path, flags, vfs.0).unwrap()
}

/// Adds a row that the table's CHECKs would refuse, as a table without them lets in. Returns its id.
pub(crate) fn write_unchecked<'a>(
    at: impl Into<At<'a>>,
    event: &str,
    data: &str,
    time_ms: i64,
) -> i64 {
    let application = open(at.into());
    let past_the_rules = "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF";
    application.execute_batch(past_the_rules).unwrap();
    let insert = "INSERT INTO outbox (event, data, time) VALUES (?1, ?2, ?3)";
    application
        .execute(insert, params![event, data, time_ms])
        .unwrap();
    application.last_insert_rowid()
}

/// Runs statements of the application's own.
pub(crate) fn run<'a>(at: impl Into<At<'a>>, sql: &str) {
    open(at.into()).execute_batch(sql).unwrap();
}

/// Gives a row other data.
pub(crate) fn mend<'a>(at: impl Into<At<'a>>, id: i64, data: &str) {
    let application = open(at.into());
    let update = "UPDATE outbox SET data = ?2 WHERE id = ?1";
    assert_eq!(application.execute(update, params![id, data]).unwrap(), 1);
}

/// The ids of the rows behind `after`.
pub(crate) fn ids_after<'a>(at: impl Into<At<'a>>, after: i64) -> Vec<i64> {
    let application = open(at.into());
    let sql = "SELECT id FROM outbox WHERE id > ?1 ORDER BY id";
    let mut statement = application.prepare(sql).unwrap();
    let ids = statement.query_map([after], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

/// Makes a copy of the outbox as it is now.
pub(crate) fn back_up<'a>(at: impl Into<At<'a>>, copy: &Path) {
    let at = at.into();
    let application = open(at);
    application
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    drop(application);
    let copied = open(At { path: copy, ..at });
    let mode = "PRAGMA journal_mode = WAL";
    copied.query_row(mode, [], |_| Ok(())).unwrap();
}

/// Puts a copy in the outbox's place. No connection of the application is open.
pub(crate) fn restore(path: &Path, copy: &Path) {
    for companion in ["-wal", "-shm"] {
        let mut name = path.to_owned().into_os_string();
        name.push(companion);
        // It may not be there.
        drop(std::fs::remove_file(PathBuf::from(name)));
    }
    std::fs::rename(copy, path).unwrap();
}

/// What an UPDATE sets; `None` leaves the column as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Set<'a> {
    pub(crate) event: Option<&'a str>,
    /// Data that differs from row to row, and from one number to the next.
    pub(crate) data: Option<u64>,
    pub(crate) tenant: Option<&'a str>,
    /// The beginning of a key; the id follows.
    pub(crate) key: Option<&'a str>,
    /// Milliseconds to add.
    pub(crate) shift_ms: Option<i64>,
    pub(crate) time_ms: Option<i64>,
}

/// Changes the rows with these ids.
pub(crate) fn update<'a>(at: impl Into<At<'a>>, ids: &[i64], set: Set<'_>) {
    let mut application = unchecked(at.into());
    let transaction = application.transaction().unwrap();
    let sql = "UPDATE outbox SET event = coalesce(?2, event), tenant = coalesce(?4, tenant),
                 data = CASE WHEN ?3 IS NULL THEN data ELSE json_object('changed', ?3, 'id', id) END,
                 key = coalesce(?5 || id, key), time = coalesce(?7, max(0, time + coalesce(?6, 0)))
               WHERE id = ?1";
    for id in ids {
        let data = set.data.map(|number| i64::try_from(number).unwrap());
        let row = params![
            id,
            set.event,
            data,
            set.tenant,
            set.key,
            set.shift_ms,
            set.time_ms
        ];
        transaction.execute(sql, row).unwrap();
    }
    transaction.commit().unwrap();
}

/// Writes an event, or changes the row that has its key. Returns the id, and whether the row is new.
pub(crate) fn upsert<'a>(
    at: impl Into<At<'a>>,
    event: &str,
    data: &str,
    time_ms: i64,
    key: &str,
) -> (i64, bool) {
    let application = unchecked(at.into());
    let known = "SELECT EXISTS (SELECT 1 FROM outbox WHERE key = ?1)";
    let known: bool = application
        .query_row(known, [key], |row| row.get(0))
        .unwrap();
    let sql = "INSERT INTO outbox (event, data, time, key) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (key) DO UPDATE SET event = excluded.event, data = excluded.data,
                 time = excluded.time RETURNING id";
    let row = params![event, data, time_ms, key];
    let id = application.query_row(sql, row, |row| row.get(0)).unwrap();
    (id, !known)
}

/// Makes the table anew with its rows, as migrations do. Returns the highest id, which its counter
/// stands at then.
pub(crate) fn rebuild<'a>(at: impl Into<At<'a>>) -> i64 {
    let (table, trigger) = super::SCHEMA.split_once("CREATE TRIGGER").unwrap();
    let table = table.replacen("TABLE outbox", "TABLE rebuilt", 1);
    let sql = format!(
        "BEGIN; {table} INSERT INTO rebuilt SELECT * FROM outbox; DROP TABLE outbox;
         ALTER TABLE rebuilt RENAME TO outbox; CREATE TRIGGER {trigger} COMMIT;"
    );
    let application = unchecked(at.into());
    application.execute_batch(&sql).unwrap();
    let last = "SELECT coalesce(max(id), 0) FROM outbox";
    application.query_row(last, [], |row| row.get(0)).unwrap()
}

/// Empties the table and sets its counter back, by SQL or by making it anew.
pub(crate) fn empty<'a>(at: impl Into<At<'a>>, anew: bool) {
    let sql = if anew {
        format!("BEGIN; DROP TABLE outbox; {} COMMIT;", super::SCHEMA)
    } else {
        "BEGIN; DELETE FROM outbox; UPDATE sqlite_sequence SET seq = 0 WHERE name = 'outbox'; COMMIT;"
            .to_owned()
    };
    unchecked(at.into()).execute_batch(&sql).unwrap();
}

/// The latest time of a row.
pub(crate) fn newest_ms<'a>(at: impl Into<At<'a>>) -> Option<i64> {
    let newest = "SELECT max(time) FROM outbox";
    open(at.into())
        .query_row(newest, [], |row| row.get(0))
        .unwrap()
}

/// How rows are replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refill {
    /// All behind this id are deleted.
    pub(crate) after: i64,
    /// Whether the counter is set back to it.
    pub(crate) set_back: bool,
    /// Whether it is one transaction, or one for each statement.
    pub(crate) at_once: bool,
}

/// A row that comes in the place of others.
pub(crate) struct Written<'a> {
    pub(crate) event: &'a str,
    pub(crate) data: String,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
}

/// Deletes rows and writes others. Returns their ids.
pub(crate) fn refill<'a>(
    at: impl Into<At<'a>>,
    how: &Refill,
    rows: &[Written<'_>],
    time_ms: i64,
) -> Vec<i64> {
    let application = unchecked(at.into());
    let run = |sql: &str| application.execute_batch(sql).unwrap();
    if how.at_once {
        run("BEGIN IMMEDIATE");
    }
    run(&format!("DELETE FROM outbox WHERE id > {}", how.after));
    if how.set_back {
        let counter = format!("seq = {} WHERE name = 'outbox'", how.after);
        run(&format!("UPDATE sqlite_sequence SET {counter}"));
    }
    let insert = "INSERT INTO outbox (event, data, time, tenant, key) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        let values = params![row.event, row.data, time_ms, row.tenant, row.key];
        application.execute(insert, values).unwrap();
        ids.push(application.last_insert_rowid());
    }
    if how.at_once {
        run("COMMIT");
    }
    ids
}

fn unchecked(at: At<'_>) -> Connection {
    let application = open(at);
    let past_the_rules = "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF";
    application.execute_batch(past_the_rules).unwrap();
    application
}
