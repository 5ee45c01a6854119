//! Reads the log as people do, through its views: for the commands, and for tests.
//!
//! Every [`Reader`] is a read-only connection of its own and works beside the daemon, and after it
//! stopped. Reads are short and bounded, whatever the log's size: a reader that stays in a
//! transaction keeps the WAL from starting over. How a row looks on a terminal is the commands'.

mod closely;
mod event;
mod health;
mod log;
mod made;
mod of_event;
mod one;
mod pending;
mod turn;
mod wanted;

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;

use super::connect::{self, DATA_VERSION, data_version};
use super::error::Doing;
use super::{Error, held, schema};
use crate::model::when::parse_time_ms;

pub(crate) use closely::Closely;
pub(crate) use event::RejectedTrace;
pub(crate) use event::{DeliveryTrace, EventTrace, WebhookRow};
pub(crate) use health::{HourCounts, Lately, WebhookHealth};
pub(crate) use log::{LogRow, LogText, Newest};
pub(crate) use made::MadeFor;
pub(crate) use one::DeliveryRow;
pub(crate) use pending::Count;
pub(crate) use turn::{HeldBy, HeldOf, Holder, Holding};
pub(crate) use wanted::{LogFilter, Outcome, StatusIs};

/// Oldest attempts, those of the shape before first.
const OLDEST: [&str; 2] = [
    "SELECT a.time, coalesce(d.state = 'pending', 0)
       FROM old_attempt a LEFT JOIN old_delivery d ON d.id = a.delivery_id ORDER BY a.id LIMIT 1000",
    "SELECT time, EXISTS (SELECT 1 FROM parked WHERE id = delivery_id)
                  OR EXISTS (SELECT 1 FROM queued WHERE id = delivery_id)
       FROM attempt ORDER BY id LIMIT 1000",
];

/// A read-only connection to the log.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) connection: Connection,
}

impl Reader {
    /// Opens a log for reading.
    ///
    /// # Errors
    /// There is none, it is no log, it is corrupt, or it was written by a newer version.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect::reader(path)?;
        schema::check(&connection, path)?;
        Ok(Self { connection })
    }

    /// Opens a log that somebody has copied, also where its folder can't be written: without companions it is
    /// read as a file that nobody changes.
    ///
    /// # Errors
    /// As [`Reader::open`], or it was written by a version whose views lack what is read here.
    pub(crate) fn open_copy(path: &Path) -> Result<Self, Error> {
        let connection = connect::leaving_no_trace(path)?;
        schema::check(&connection, path)?;
        // No daemon brings a copy up to date while it is read, so what can't be read is said once and for all.
        if !schema::has_column(&connection, "log", "batch").unwrap_or(true) {
            let path = path.to_owned();
            return Err(Error::Earlier { path });
        }
        Ok(Self { connection })
    }

    /// When the newest attempt was made, UNIX milliseconds; `None` in an empty log.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn newest_time(&self) -> Result<Option<i64>, Error> {
        let newest = self.attempt(self.newest_id()?)?;
        Ok(newest.and_then(|row| parse_time_ms(&row.time)))
    }

    /// Until when webhooks are not to be tried, UNIX milliseconds, by name; those that may be by now are not
    /// among them, and none is in a log of an earlier shape.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        let read = || {
            let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'retry_after')";
            let mut is_there = self.connection.prepare_cached(is_there)?;
            if is_there.query_row([], |row| row.get(0))? {
                held::held(&self.connection, now_ms, now_ms)
            } else {
                Ok(HashMap::new())
            }
        };
        read().doing(held::STEP)
    }

    /// How many of the newest 1,000 rows that were set aside were so since then.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn set_aside_since(&self, time_ms: i64) -> Result<i64, Error> {
        self.connection
            .prepare_cached(
                "SELECT count(*) FROM (SELECT time FROM rejected ORDER BY id DESC LIMIT 1000)
                  WHERE time >= ?1",
            )
            .and_then(|mut statement| statement.query_row([time_ms], |row| row.get(0)))
            .doing("count rows set aside")
    }

    /// When the oldest attempt of finished work was made, UNIX milliseconds. Of the oldest 1,000 attempts at
    /// most: where all of those are of pending work, it is the last of them.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn oldest(&self) -> Result<Option<i64>, Error> {
        let read = || -> rusqlite::Result<Option<i64>> {
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            let mut oldest = None;
            for sql in OLDEST.iter().skip(usize::from(!with_earlier)) {
                let mut statement = snapshot.prepare_cached(sql)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    oldest = Some(row.get(0)?);
                    let pending: bool = row.get(1)?;
                    if !pending {
                        return Ok(oldest);
                    }
                }
            }
            Ok(oldest)
        };
        read().doing("look for the oldest attempt")
    }

    /// `PRAGMA data_version`: another number than before says that something was committed since.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn data_version(&self) -> Result<i64, Error> {
        data_version(&self.connection).doing(DATA_VERSION)
    }
}
