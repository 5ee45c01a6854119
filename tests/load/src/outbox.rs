//! The application's side: rows into the outbox, in bulk or one commit at a time.
//!
//! Plain SQL through rusqlite, in WAL mode, as an application would do it. The schema is what
//! `webhooksd schema outbox` prints.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::build::Build;
use crate::http::data;
use crate::measure::Pace;
use crate::process::now_ns;

/// Opens an outbox, and makes it where there is none.
pub(crate) fn open(build: &Build, folder: &Path, synchronous: &str) -> Connection {
    let path = folder.join("outbox.db");
    let new = !path.exists();
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    connection
        .pragma_update(None, "synchronous", synchronous)
        .unwrap();
    if new {
        connection.execute_batch(&schema(build, "outbox")).unwrap();
    }
    connection
}

/// What `webhooksd schema` prints.
pub(crate) fn schema(build: &Build, which: &str) -> String {
    schema_of(build, &[which])
}

/// The same with more arguments.
pub(crate) fn schema_of(build: &Build, arguments: &[&str]) -> String {
    let output = build.command().arg("schema").args(arguments).output();
    let output = output.expect("webhooksd schema");
    assert!(
        output.status.success(),
        "webhooksd schema {arguments:?} failed"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Writes so many rows in one transaction; returns the seconds that took.
pub(crate) fn fill(connection: &Connection, event: &str, rows: u64) -> f64 {
    fill_places(connection, event, rows, 0)
}

/// The same, with so many values in turn at `$.place`.
pub(crate) fn fill_places(connection: &Connection, event: &str, rows: u64, places: u64) -> f64 {
    let (begun, data) = (now_ns(), data(event));
    let rest = data.strip_prefix('{').expect("an object");
    let transaction = connection.unchecked_transaction().unwrap();
    let mut insert = transaction
        .prepare("INSERT INTO outbox (event, data) VALUES (?1, ?2)")
        .unwrap();
    for row in 0..rows {
        if places == 0 {
            insert.execute(params![event, data]).unwrap();
        } else {
            let data = format!("{{\"place\":\"p-{}\",{rest}", row % places);
            insert.execute(params![event, data]).unwrap();
        }
    }
    drop(insert);
    transaction.commit().unwrap();
    (now_ns() - begun) as f64 / 1e9
}

/// Commits single rows at an even pace and returns each row's id and when its COMMIT returned.
pub(crate) fn trickle(connection: &Connection, pace: Pace) -> Vec<(i64, u64)> {
    let data = data(pace.event);
    let mut insert = connection
        .prepare("INSERT INTO outbox (event, data) VALUES (?1, ?2)")
        .unwrap();
    let (begun, period) = (now_ns(), 1_000_000_000 / pace.per_second);
    let mut committed = Vec::new();
    for number in 0..pace.per_second * pace.seconds {
        let due = begun + number * period;
        let wait = due.saturating_sub(now_ns());
        if wait > 0 {
            std::thread::sleep(Duration::from_nanos(wait));
        }
        insert.execute(params![pace.event, data]).unwrap();
        committed.push((connection.last_insert_rowid(), now_ns()));
    }
    committed
}
