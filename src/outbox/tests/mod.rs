//! Tests of the module as a whole, against an application on a connection of its own.
//!
//! `reading` looks at what a tail makes of rows and databases, `following` at whether it sees each
//! commit, in order and soon, `modes` at what tells it of them, `appending` at the rows that come
//! through webhooksd itself, `sharing` at the WAL that both write, `guarding` at guards and columns that
//! come and go.

mod appending;
mod following;
mod guarding;
mod modes;
mod reading;
mod sharing;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{AppendError, Appender, Error, Pruner, Row, Tail, Waker, Watch, create_if_missing};
use crate::model::EventId;

/// A table as an application might make it, without a rule on anything.
const BARE: &str =
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time, tenant);";

/// The largest data in these tests.
const MAX_DATA_BYTES: usize = 1_000;

struct Outbox {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// A fresh outbox of webhooksd's making.
fn outbox() -> Outbox {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    create_if_missing(&path).unwrap();
    Outbox {
        _folder: folder,
        path,
    }
}

/// An application's own database, made by `sql`.
fn database(sql: &str) -> Outbox {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    app(&path).execute_batch(sql).unwrap();
    Outbox {
        _folder: folder,
        path,
    }
}

/// The application's connection; it waits for locks as rusqlite does by default.
fn app(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn insert(app: &Connection) -> i64 {
    let sql = "INSERT INTO outbox (event, data, time) VALUES ('story-approve', '{}', 1)";
    app.execute(sql, ()).unwrap();
    app.last_insert_rowid()
}

fn id(number: i64) -> EventId {
    EventId::new(number)
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.id().get()).collect()
}

#[test]
fn everything_may_go_to_another_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<(Tail, Watch, Waker, Appender, Pruner)>();
    is_send::<(Error, AppendError, Row)>();
}
