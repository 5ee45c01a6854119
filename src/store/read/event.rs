//! What became of one event: its deliveries, why it was set aside, and what the daemon knew then.
//!
//! It only reads what is there; which reason explains a delivery that is not there is for the
//! command, which knows the configuration.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Reader;
use crate::model::{DeliveryId, Dialect, EventId, Generation, Pause};
use crate::store::error::Doing;
use crate::store::{Error, pause, schema};

/// Deliveries of one event that are read, the newest: above the most webhooks there may be.
const MAX_DELIVERIES: i64 = 20_000;

/// What the log says of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventTrace {
    /// The generation and the last event that was taken in; `None` where the log is new.
    pub cursor: Option<(Generation, EventId)>,
    /// Its deliveries in the newest generation that has some, the newest first.
    pub deliveries: Vec<DeliveryTrace>,
    /// Those of the generations before, in which its id may have been another event's.
    pub earlier: Vec<DeliveryTrace>,
    /// Why it was set aside, where it was.
    pub rejected: Option<RejectedTrace>,
    /// Every webhook that the daemon has known, by name.
    pub webhooks: Vec<WebhookRow>,
    /// The webhooks that are paused, or were until their pause was over.
    pub pauses: Vec<Pause>,
}

/// One delivery, with the last of its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryTrace {
    /// Its id.
    pub id: DeliveryId,
    /// Counts the times that the outbox was exchanged.
    pub generation: Generation,
    /// The event's name.
    pub event: String,
    /// The webhook's name.
    pub webhook: String,
    /// The wire contract's name.
    pub dialect: String,
    /// `pending`, `delivered`, `failed`, `cancelled`.
    pub state: String,
    /// `event`, `redelivery`, `replay`, `test`.
    pub origin: String,
    /// Attempts made.
    pub attempts: u32,
    /// When the next attempt is due, UNIX milliseconds.
    pub due_at_ms: Option<i64>,
    /// When it was made, UNIX milliseconds.
    pub created_at_ms: Option<i64>,
    /// When it ended, UNIX milliseconds.
    pub finished_at_ms: Option<i64>,
    /// The status of the last attempt.
    pub status: Option<i64>,
    /// Why the last attempt was no success.
    pub error: Option<String>,
    /// It was cancelled because somebody asked for it.
    pub by_order: bool,
}

/// A row of the outbox that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RejectedTrace {
    /// The event's name, as far as it is text.
    pub event: String,
    /// Why.
    pub reason: String,
    /// When, UNIX milliseconds.
    pub time_ms: i64,
    /// Counts the times that the outbox was exchanged.
    pub generation: Generation,
}

/// A webhook that the daemon knows or knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookRow {
    /// Its name.
    pub name: String,
    /// `active`, `inactive`, `removed`.
    pub state: String,
    /// Since when, UNIX milliseconds.
    pub since_ms: i64,
    /// The generation at that time.
    pub generation: Generation,
    /// The last event that had been taken in by then.
    pub after_event_id: EventId,
}

impl Reader {
    /// What the log says of the event with that outbox id.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn event(&self, event_id: EventId) -> Result<EventTrace, Error> {
        let read = || -> rusqlite::Result<EventTrace> {
            let connection = &self.connection;
            let newest = params![event_id, MAX_DELIVERIES];
            let all = delivery_traces(connection, "d.event_id = ?1", newest)?;
            let generation = all.iter().map(|d| d.generation).max();
            let (deliveries, earlier) =
                (all.into_iter()).partition::<Vec<_>, _>(|d| Some(d.generation) == generation);
            Ok(EventTrace {
                cursor: connection
                    .query_row("SELECT generation, event_id FROM cursor", [], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()?,
                deliveries,
                earlier,
                rejected: rejected(connection, event_id, generation)?,
                webhooks: webhooks(connection)?,
                pauses: pause::known(connection)?,
            })
        };
        read().doing("read what became of an event")
    }

    /// The bodies that were made for the event in a generation and kept, one for each dialect: its name
    /// and the bytes.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn bodies(
        &self,
        generation: Generation,
        event_id: EventId,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        const NOW: &str = "SELECT DISTINCT d.dialect, CAST(p.body AS BLOB) FROM delivery d JOIN payload p ON p.id = d.payload_id
          WHERE d.event_id = ?2 AND d.generation = ?1 AND p.body IS NOT NULL";
        const EARLIER: &str = "SELECT DISTINCT d.dialect, CAST(p.body AS BLOB) FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id
          WHERE d.event_id = ?2 AND d.generation = ?1";
        let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
            let mut bodies = BTreeMap::new();
            let (snapshot, earlier) = schema::at_once(&self.connection)?;
            for sql in [Some(NOW), earlier.then_some(EARLIER)]
                .into_iter()
                .flatten()
            {
                let mut statement = snapshot.prepare_cached(sql)?;
                let mut rows = statement.query((generation, event_id))?;
                while let Some(row) = rows.next()? {
                    let body: Vec<u8> = row.get(1)?;
                    let kept: &mut Vec<u8> = bodies.entry(row.get(0)?).or_default();
                    if body > *kept {
                        *kept = body;
                    }
                }
            }
            Ok(bodies.into_iter().collect())
        };
        read().doing("read an event's bodies")
    }

    /// Whose event it was that got that id, where the log knows it. For events of webhooksd itself, whose ids are
    /// never another's.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn tenant(&self, event_id: EventId) -> Result<Option<String>, Error> {
        // A log that no daemon of this version has opened yet does not say it.
        const SAYS_WHOSE: &str =
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info('payload') WHERE name = 'tenant')";
        let read = || -> rusqlite::Result<Option<String>> {
            if !self
                .connection
                .query_row(SAYS_WHOSE, [], |row| row.get(0))?
            {
                return Ok(None);
            }
            self.connection
                .prepare_cached(
                    "SELECT tenant FROM payload WHERE event_id = ?1 AND typeof(tenant) = 'text' LIMIT 1",
                )?
                .query_row([event_id], |row| row.get(0))
                .optional()
        };
        read().doing("read whose event it is")
    }

    /// The newest generation in which a body that was made in that dialect for an event of that id
    /// holds `text`, if any does; `None` where the log has no such body.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn generation_of_body(
        &self,
        event_id: EventId,
        dialect: Dialect,
        text: &str,
    ) -> Result<Option<Option<Generation>>, Error> {
        const NOW: &str =
            "SELECT count(*), max(CASE WHEN instr(p.body, ?3) > 0 THEN d.generation END)
           FROM delivery d JOIN payload p ON p.id = d.payload_id
          WHERE d.event_id = ?1 AND d.dialect = ?2 AND p.body IS NOT NULL";
        // Of what has its id beside the body.
        const MESSAGES: &str =
            "SELECT count(*), max(CASE WHEN instr(?3, m.id) > 0 AND ?2 = ?2 THEN d.generation END)
           FROM delivery d JOIN payload_message m ON m.payload_id = d.payload_id
          WHERE d.event_id = ?1";
        const EARLIER: &str =
            "SELECT count(*), max(CASE WHEN instr(p.body, ?3) > 0 THEN d.generation END)
           FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id
          WHERE d.event_id = ?1 AND d.dialect = ?2";
        let read = || {
            let (mut bodies, mut holds) = (0, None);
            let (snapshot, earlier) = schema::at_once(&self.connection)?;
            let messages = schema::has_table(&snapshot, "payload_message")?.then_some(MESSAGES);
            for sql in [Some(NOW), messages, earlier.then_some(EARLIER)]
                .into_iter()
                .flatten()
            {
                let found: (i64, Option<Generation>) = snapshot
                    .prepare_cached(sql)?
                    .query_row(params![event_id, dialect.name(), text], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?;
                bodies += found.0;
                holds = holds.max(found.1);
            }
            Ok((bodies > 0).then_some(holds))
        };
        read().doing("look into an event's body")
    }

    /// Every webhook that the daemon knows or knew, by name.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn webhooks(&self) -> Result<Vec<WebhookRow>, Error> {
        webhooks(&self.connection).doing("read the webhooks")
    }
}

/// The newest deliveries that a condition holds for, the newest first; the last parameter is how many.
pub(super) fn delivery_traces(
    connection: &Connection,
    condition: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<DeliveryTrace>> {
    let one = |row: &Row<'_>| {
        Ok(DeliveryTrace {
            id: row.get(0)?,
            generation: row.get(1)?,
            event: row.get(2)?,
            webhook: row.get(3)?,
            dialect: row.get(4)?,
            state: row.get(5)?,
            origin: row.get(6)?,
            attempts: row.get(7)?,
            due_at_ms: row.get(8)?,
            finished_at_ms: row.get(9)?,
            status: None,
            error: None,
            created_at_ms: row.get(10)?,
            by_order: false,
        })
    };
    let mut all: Vec<DeliveryTrace> = connection
        .prepare_cached(&format!(
            "SELECT d.id, d.generation, d.event, d.webhook, d.dialect, d.state, d.origin,
                    d.attempts, d.due_at, d.finished_at, d.created_at
               FROM delivery d
              WHERE {condition} ORDER BY d.id DESC LIMIT ?2",
        ))?
        .query_map(params, one)?
        .collect::<rusqlite::Result<_>>()?;
    // By itself: inside of the views it is planned anew for each part of them, which takes longer than to run it.
    let mut last = connection.prepare_cached(
        "SELECT status, error FROM log WHERE delivery_id = ?1 ORDER BY id DESC LIMIT 1",
    )?;
    for delivery in &mut all {
        let found = last.query_row([delivery.id], |row| Ok((row.get(0)?, row.get(1)?)));
        (delivery.status, delivery.error) = found.optional()?.unwrap_or_default();
    }
    // A log that no daemon of this version has opened yet does not say why.
    const SAYS_WHY: &str =
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('ended') WHERE name = 'reason')";
    let mut cancelled = all.iter_mut().filter(|d| d.state == "cancelled").peekable();
    if cancelled.peek().is_some() && connection.query_row(SAYS_WHY, [], |row| row.get(0))? {
        let mut why = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM ended WHERE id = ?1 AND reason = 1)")?;
        for delivery in cancelled {
            delivery.by_order = why.query_row([delivery.id], |row| row.get(0))?;
        }
    }
    Ok(all)
}

/// Why it was set aside, unless it has deliveries of a later generation: then that was another row.
fn rejected(
    connection: &Connection,
    event_id: EventId,
    delivered: Option<Generation>,
) -> rusqlite::Result<Option<RejectedTrace>> {
    connection
        .prepare_cached(
            "SELECT event, reason, time, generation FROM rejected
              WHERE event_id = ?1 AND generation >= ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row((event_id, delivered.unwrap_or_default()), |row| {
            Ok(RejectedTrace {
                event: row.get(0)?,
                reason: row.get(1)?,
                time_ms: row.get(2)?,
                generation: row.get(3)?,
            })
        })
        .optional()
}

fn webhooks(connection: &Connection) -> rusqlite::Result<Vec<WebhookRow>> {
    connection
        .prepare_cached(
            "SELECT name, state, since, generation, after_event_id FROM webhook ORDER BY name",
        )?
        .query_map([], |row| {
            Ok(WebhookRow {
                name: row.get(0)?,
                state: row.get(1)?,
                since_ms: row.get(2)?,
                generation: row.get(3)?,
                after_event_id: row.get(4)?,
            })
        })?
        .collect()
}
