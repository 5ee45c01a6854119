//! What was made for one webhook: of which events the log has a delivery, and how far back it can say so.
//!
//! Read in ranges of ids, so that no snapshot of the log lasts longer than one of them.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension, params};

use super::Reader;
use crate::model::{EventId, Generation, Snapshot};
use crate::store::error::Doing;
use crate::store::{Error, schema, snapshot};

/// Of a range of events, what the log has for one webhook, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MadeFor {
    /// The last event that was taken in by then; 0 where the log is new.
    pub cursor: EventId,
    /// The events of the range that there is a delivery of, whatever became of it; tests are none.
    pub events: HashSet<EventId>,
}

/// Events of which something was made, in the newest generation in which their id was an event's: before the
/// outbox was put back it may have been another's. What is queued has no index, and is never much.
const MADE: &str = "SELECT DISTINCT p.event_id FROM payload p
  WHERE p.event_id BETWEEN ?1 AND ?2
    AND p.generation = (SELECT max(o.generation) FROM payload o WHERE o.event_id = p.event_id)
    AND (EXISTS (SELECT 1 FROM attempt a WHERE a.payload_id = p.id AND a.webhook_id = ?3 AND a.origin <> 3)
      OR EXISTS (SELECT 1 FROM parked k WHERE k.payload_id = p.id AND k.webhook_id = ?3 AND k.origin <> 3)
      OR EXISTS (SELECT 1 FROM ended e WHERE e.payload_id = p.id AND e.webhook_id = ?3 AND e.origin <> 3)
      OR p.id IN (SELECT q.payload_id FROM queued q WHERE q.webhook_id = ?3 AND q.origin <> 3))";

/// The same of the shape before.
const EARLIER: &str = "SELECT DISTINCT event_id FROM old_delivery
  WHERE event_id BETWEEN ?1 AND ?2 AND webhook = ?3 AND origin <> 'test'";

/// What is yet to be made.
const OWED: &str = "SELECT event_id, webhooks FROM owed WHERE event_id BETWEEN ?1 AND ?2";

impl Reader {
    /// Of which events of that range there is a delivery to the webhook.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn made_for(
        &self,
        webhook: &str,
        ids: &RangeInclusive<EventId>,
    ) -> Result<MadeFor, Error> {
        let read = || -> rusqlite::Result<MadeFor> {
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            let (_, cursor) = cursor(&snapshot)?;
            let (first, last) = (ids.start(), ids.end());
            let mut events = HashSet::new();
            let webhook_id: Option<i64> = snapshot
                .prepare_cached("SELECT id FROM webhook_name WHERE name = ?1")?
                .query_row([webhook], |row| row.get(0))
                .optional()?;
            if let Some(webhook_id) = webhook_id {
                let mut made = snapshot.prepare_cached(MADE)?;
                let mut rows = made.query(params![first, last, webhook_id])?;
                while let Some(row) = rows.next()? {
                    events.insert(row.get(0)?);
                }
            }
            if with_earlier {
                let mut made = snapshot.prepare_cached(EARLIER)?;
                let mut rows = made.query(params![first, last, webhook])?;
                while let Some(row) = rows.next()? {
                    events.insert(row.get(0)?);
                }
            }
            let mut owed = snapshot.prepare_cached(OWED)?;
            let mut rows = owed.query(params![first, last])?;
            while let Some(row) = rows.next()? {
                if row
                    .get_ref(1)?
                    .as_str()?
                    .lines()
                    .any(|name| name == webhook)
                {
                    events.insert(row.get(0)?);
                }
            }
            Ok(MadeFor { cursor, events })
        };
        read().doing("look for what was made of events")
    }

    /// The last event whose deliveries may be gone from the log: what was taken before `kept_since_ms`, where
    /// that is a moment, and what went early, where something may. To the hour, and rather too many.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn forgotten_up_to(
        &self,
        kept_since_ms: Option<i64>,
        may_go_early: bool,
    ) -> Result<EventId, Error> {
        const BEFORE: &str = "SELECT event_id FROM mark WHERE generation = ?1 AND time <= ?2 ORDER BY time DESC LIMIT 1";
        const AFTER: &str =
            "SELECT event_id FROM mark WHERE generation = ?1 AND time >= ?2 ORDER BY time LIMIT 1";
        let oldest_ms = match may_go_early && self.is_shortened()? {
            true => Some(self.oldest()?.unwrap_or(i64::MAX)),
            false => None,
        };
        let read = || -> rusqlite::Result<EventId> {
            let (generation, newest) = cursor(&self.connection)?;
            let mark = |sql: &str, time_ms: i64| -> rusqlite::Result<Option<EventId>> {
                let mut mark = self.connection.prepare_cached(sql)?;
                mark.query_row(params![generation, time_ms], |row| row.get(0))
                    .optional()
            };
            let by_days = kept_since_ms.map_or(Ok(None), |ms| mark(BEFORE, ms))?;
            let early = match oldest_ms {
                Some(ms) => Some(mark(AFTER, ms)?.unwrap_or(newest)),
                None => None,
            };
            Ok(by_days.max(early).unwrap_or_default())
        };
        read().doing("look how far back the log goes")
    }

    /// How far an outbox in PostgreSQL was taken.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn snapshot(&self) -> Result<Option<Box<Snapshot>>, Error> {
        let read = || {
            let (generation, _) = cursor(&self.connection)?;
            snapshot::read(&self.connection, generation)
        };
        read().doing("look how far the outbox was taken")
    }

    /// Whether bodies are gone: their ids follow each other, so there are fewer of them than were given. Attempts
    /// do not tell, for a delivery may have ended without one.
    pub(in crate::store) fn is_shortened(&self) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT count(*) < coalesce(max(id), 0) FROM payload")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .doing("look whether bodies are gone")
    }
}

fn cursor(connection: &Connection) -> rusqlite::Result<(Generation, EventId)> {
    let cursor = connection
        .prepare_cached("SELECT generation, event_id FROM cursor")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(cursor.unwrap_or_default())
}
