//! Reads the log as people do, through its views: for the commands, and for tests.
//!
//! Every [`Reader`] is a read-only connection of its own and works beside the daemon, and after it
//! stopped. Reads are short: a reader that stays in a transaction keeps the WAL from starting over.
//! How a row looks on a terminal is the commands'.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::error::Doing;
use super::{Error, connect, schema};

/// A row of the view `log`, without headers and bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    /// The attempt's id; grows in the order made.
    pub id: i64,
    /// When it began, ISO 8601 UTC with milliseconds.
    pub time: String,
    /// The webhook's name.
    pub webhook: String,
    /// The event's name; `None` where the delivery is gone.
    pub event: Option<String>,
    /// The outbox id of the event.
    pub event_id: Option<i64>,
    /// The delivery it was made for.
    pub delivery_id: i64,
    /// 1 for the first.
    pub attempt: i64,
    /// `delivered`, `retry`, `failed`.
    pub outcome: String,
    /// The answer's status, where there was one.
    pub status: Option<i64>,
    /// Why it was no success.
    pub error: Option<String>,
    /// From the start to the end, milliseconds.
    pub duration_ms: f64,
    /// Where it went.
    pub url: String,
}

/// A read-only connection to the log.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a log for reading.
    ///
    /// # Errors
    /// There is none, it is no log, it is corrupt, or it was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect::reader(path)?;
        schema::check(&connection, path)?;
        Ok(Self { connection })
    }

    /// The newest `rows` of the log, the oldest of them first.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn log(&self, rows: u32) -> Result<Vec<LogRow>, Error> {
        let read = || -> rusqlite::Result<Vec<LogRow>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT id, time, webhook, event, event_id, delivery_id, attempt, outcome, status,
                        error, duration_ms, url FROM log ORDER BY id DESC LIMIT ?1",
            )?;
            let mut newest = statement
                .query_map([rows], log_row)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            newest.reverse();
            Ok(newest)
        };
        read().doing("read the newest attempts")
    }

    /// How many deliveries are pending, for each webhook that has some.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn pending(&self) -> Result<Vec<(String, i64)>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, i64)>> {
            self.connection
                .prepare_cached(
                    "SELECT webhook, count(*) FROM delivery WHERE state = 'pending' GROUP BY webhook",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().doing("count pending deliveries")
    }
}

fn log_row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        id: row.get(0)?,
        time: row.get(1)?,
        webhook: row.get(2)?,
        event: row.get(3)?,
        event_id: row.get(4)?,
        delivery_id: row.get(5)?,
        attempt: row.get(6)?,
        outcome: row.get(7)?,
        status: row.get(8)?,
        error: row.get(9)?,
        duration_ms: row.get(10)?,
        url: row.get(11)?,
    })
}
