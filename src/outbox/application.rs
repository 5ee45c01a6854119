//! The application of a simulation: what it writes past the table's rules, and its backups.
//!
//! What it writes by the rules goes through [`super::Appender`]. Nothing here is part of the product.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::model::alone;

fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(path, flags, alone::vfs()).unwrap()
}

/// Adds a row that the table's CHECKs would refuse, as a table without them lets in. Returns its id.
pub(crate) fn write_unchecked(path: &Path, event: &str, data: &str, time_ms: i64) -> i64 {
    let application = open(path);
    let past_the_rules = "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF";
    application.execute_batch(past_the_rules).unwrap();
    let insert = "INSERT INTO outbox (event, data, time) VALUES (?1, ?2, ?3)";
    application
        .execute(insert, params![event, data, time_ms])
        .unwrap();
    application.last_insert_rowid()
}

/// Gives a row other data.
pub(crate) fn mend(path: &Path, id: i64, data: &str) {
    let application = open(path);
    let update = "UPDATE outbox SET data = ?2 WHERE id = ?1";
    assert_eq!(application.execute(update, params![id, data]).unwrap(), 1);
}

/// The ids of the rows behind `after`.
pub(crate) fn ids_after(path: &Path, after: i64) -> Vec<i64> {
    let application = open(path);
    let sql = "SELECT id FROM outbox WHERE id > ?1 ORDER BY id";
    let mut statement = application.prepare(sql).unwrap();
    let ids = statement.query_map([after], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

/// Makes a copy of the outbox as it is now.
pub(crate) fn back_up(path: &Path, copy: &Path) {
    let application = open(path);
    let copy = copy.to_str().unwrap();
    application.execute("VACUUM INTO ?1", [copy]).unwrap();
    drop(application);
    let copied = open(Path::new(copy));
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
