//! One delivery and its attempts, over the indexes that there are for that.

use rusqlite::{OptionalExtension, params};

use super::Reader;
use super::log::{LogRow, columns, log_row};
use crate::model::{DeliveryId, EventId};
use crate::store::Error;
use crate::store::error::Doing;

/// A row of the view `delivery`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// The outbox id of the event.
    pub event_id: Option<EventId>,
    /// The event's name.
    pub event: Option<String>,
    /// The webhook's name.
    pub webhook: String,
    /// The wire contract's name.
    pub dialect: Option<String>,
    /// `pending`, `delivered`, `failed`, `cancelled`.
    pub state: String,
    /// `event`, `redelivery`, `replay`, `test`.
    pub origin: String,
    /// Attempts made.
    pub attempts: i64,
    /// When the next attempt is due, UNIX milliseconds.
    pub due_at_ms: Option<i64>,
    /// When it ended, UNIX milliseconds.
    pub finished_at_ms: Option<i64>,
}

impl Reader {
    /// One delivery; `None` where there is none, or retention has taken it.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT id, event_id, event, webhook, dialect, state, origin, attempts, due_at, finished_at
                   FROM delivery WHERE id = ?1",
            )
            .and_then(|mut statement| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(DeliveryRow {
                        id: row.get(0)?,
                        event_id: row.get(1)?,
                        event: row.get(2)?,
                        webhook: row.get(3)?,
                        dialect: row.get(4)?,
                        state: row.get(5)?,
                        origin: row.get(6)?,
                        attempts: row.get(7)?,
                        due_at_ms: row.get(8)?,
                        finished_at_ms: row.get(9)?,
                    })
                };
                statement.query_row([id], row).optional()
            })
            .doing("read a delivery")
    }

    /// Whether somebody has had a delivery sent again.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn was_sent_again(&self, id: DeliveryId) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM redelivery WHERE delivery_id = ?1)")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)))
            .doing("look whether a delivery was sent again")
    }

    /// The newest `most` attempts of a delivery, the newest first.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn attempts_of(&self, id: DeliveryId, most: u32) -> Result<Vec<LogRow>, Error> {
        let read = || -> rusqlite::Result<Vec<LogRow>> {
            let sql =
                columns(&self.connection)? + " WHERE delivery_id = ?1 ORDER BY id DESC LIMIT ?2";
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_map(params![id, most], log_row)?.collect()
        };
        read().doing("read a delivery's attempts")
    }
}
