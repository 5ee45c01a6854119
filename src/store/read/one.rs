//! One delivery or one event: its attempts, over the indexes that there are for that.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::Reader;
use super::log::{LogRow, Newest, columns, log_row};
use super::wanted::LogFilter;
use crate::filter::Judge;
use crate::model::clock::utc;
use crate::model::{AttemptId, DeliveryId, EventId};
use crate::store::Error;
use crate::store::error::Doing;

/// Attempts of one event that are looked at: ten thousand webhooks may have some each.
const OF_EVENT: i64 = 2_000;

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

    /// As [`Reader::newest`], of one event: by its id they are found without a search.
    pub(super) fn newest_of_event(
        &self,
        event_id: EventId,
        filter: &LogFilter,
        count: usize,
    ) -> Result<Newest, Error> {
        let read = || -> rusqlite::Result<Vec<LogRow>> {
            let sql = columns(&self.connection)? + " WHERE event_id = ?1 LIMIT ?2";
            let mut statement = self.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![event_id, OF_EVENT], log_row)?;
            rows.collect()
        };
        let rows = read().doing("look for an event's attempts")?;
        let mut rows: Vec<LogRow> = rows
            .into_iter()
            .filter(|row| is_wanted(row, filter))
            .collect();
        let unread = self.judge_bodies(&mut rows, filter)?;
        let mut ids: Vec<AttemptId> = rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        let surplus = ids.len().saturating_sub(count);
        Ok(Newest {
            ids: ids.split_off(surplus),
            unread,
            ..Newest::default()
        })
    }
}

impl Reader {
    /// Keeps the attempts whose body is asked for, and counts those whose body is not kept. One event has a body for
    /// each dialect, so few are read.
    fn judge_bodies(&self, rows: &mut Vec<LogRow>, filter: &LogFilter) -> Result<usize, Error> {
        if filter.body.is_empty() {
            return Ok(0);
        }
        let mut judge = Judge::new(&filter.body);
        let (mut known, mut unread) = (HashMap::new(), 0);
        let mut wanted = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let key = self.body_key(row.id)?;
            let holds = match known.get(&key) {
                Some(holds) if key.is_some() => *holds,
                _ => {
                    let text = self.attempt_text(row.id)?;
                    let body = text.and_then(|text| text.request_body);
                    let holds = body.map(|body| judge.first_failing(&body).is_none());
                    known.insert(key, holds);
                    holds
                }
            };
            unread += usize::from(holds.is_none());
            if holds == Some(true) {
                wanted.push(row);
            }
        }
        *rows = wanted;
        Ok(unread)
    }

    /// By what the body of an attempt is found; `None` in the shape before.
    fn body_key(&self, id: AttemptId) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT payload_id FROM attempt WHERE id = ?1")
            .and_then(|mut s| s.query_row([id], |row| row.get(0)).optional())
            .doing("find an attempt's body")
    }
}

fn is_wanted(row: &LogRow, filter: &LogFilter) -> bool {
    let event = row.event.as_deref().unwrap_or_default();
    filter.webhook.as_ref().is_none_or(|w| *w == row.webhook)
        && filter.event.as_ref().is_none_or(|p| p.matches(event))
        && !(filter.failed && row.outcome == "delivered")
        && filter.outcome.is_none_or(|o| o.word() == row.outcome)
        && filter.status.is_none_or(|s| s.holds(row.status))
        && filter.since_ms.is_none_or(|ms| row.time >= utc(ms))
        && filter.before.is_none_or(|before| row.id < before)
}
