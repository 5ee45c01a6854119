//! How rows of deliveries are made: bodies, deliveries due at once, and what of them is owed.
//!
//! A body is written once per event and dialect, and every delivery of it points there. Intake, replays
//! and what was owed all come through here; whose deliveries are put off is decided above.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Transaction, params};

use super::Error;
use super::rows::{Insert, Values};
use crate::model::{Deferred, DeliveryId, Dialect, Due, FanOut, Generation, PayloadId, Trigger};

const PAYLOAD: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO payload (generation, event_id, dialect, body)",
    row: "(?, ?, ?, ?)",
};

const DELIVERY: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO delivery (generation, event_id, event, webhook, dialect, state, origin,
                                 attempts, due_at, created_at, payload_id)",
    row: "(?, ?, ?, ?, ?, 'pending', ?, 0, ?, ?, ?)",
};

pub(super) fn bodies_are_there(events: &[FanOut]) -> Result<(), Error> {
    let lacking = events
        .iter()
        .find(|e| e.webhooks.iter().any(|(_, place)| *place >= e.bodies.len()));
    lacking.map_or(Ok(()), |e| {
        Err(Error::NoBody {
            event_id: e.event_id,
        })
    })
}

/// Makes every delivery of these events.
pub(super) fn insert(
    t: &Transaction<'_>,
    generation: Generation,
    events: &[FanOut],
    origin: Trigger,
    now_ms: i64,
) -> rusqlite::Result<Vec<Due>> {
    let made = Made {
        generation,
        origin,
        now_ms,
    };
    let (dues, _none) = made.fan_out(t, events, &|_| false)?;
    Ok(dues)
}

/// How pending deliveries are made that are due at once.
pub(super) struct Made {
    pub(super) generation: Generation,
    pub(super) origin: Trigger,
    pub(super) now_ms: i64,
}

impl Made {
    /// Makes deliveries, each of its body's id. `id` of the templates is left out.
    pub(super) fn deliveries(
        &self,
        t: &Transaction<'_>,
        templates: Vec<(Due, PayloadId)>,
    ) -> rusqlite::Result<Vec<Due>> {
        let bind = |(due, payload_id): &(Due, PayloadId), values: &mut Values<'_, '_>| {
            values.add(self.generation)?;
            values.add(due.event_id)?;
            values.add(&due.event)?;
            values.add(&due.webhook)?;
            values.add(due.dialect.name())?;
            values.add(self.origin.name())?;
            values.add(self.now_ms)?;
            values.add(self.now_ms)?;
            values.add(payload_id)
        };
        let first = DELIVERY.all(t, &templates, bind)?;
        let numbered = (first..).map(DeliveryId::new).zip(templates);
        Ok(numbered.map(|(id, (due, _))| Due { id, ..due }).collect())
    }

    pub(super) fn fan_out(
        &self,
        t: &Transaction<'_>,
        events: &[FanOut],
        later: &dyn Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Due>, Vec<Deferred>)> {
        let mut owed = self.bodies(t, events)?;
        let mut dues = Vec::with_capacity(events.iter().map(|e| e.webhooks.len()).sum());
        let mut debts = owed.as_mut_slice();
        for event in events {
            let (of_event, others) = debts.split_at_mut(event.bodies.len());
            debts = others;
            for (webhook, place) in &event.webhooks {
                let deferred = &mut of_event[*place];
                if later(webhook) {
                    deferred.webhooks.push(webhook.clone());
                } else {
                    let due = deferred.due(webhook, self.origin, self.now_ms);
                    dues.push((due, deferred.payload_id));
                }
            }
        }
        let dues = self.deliveries(t, dues)?;
        owed.retain(|deferred| !deferred.webhooks.is_empty());
        write_owed(t, &mut owed)?;
        Ok((dues, owed))
    }

    /// Writes the bodies of events; what is owed of each is nothing so far.
    fn bodies(&self, t: &Transaction<'_>, events: &[FanOut]) -> rusqlite::Result<Vec<Deferred>> {
        let mut owed: Vec<Deferred> = Vec::with_capacity(events.len());
        for event in events {
            for (dialect, body) in &event.bodies {
                owed.push(self.deferred(event, *dialect, body));
            }
        }
        let bind = |deferred: &Deferred, values: &mut Values<'_, '_>| {
            values.add(self.generation)?;
            values.add(deferred.event_id)?;
            values.add(deferred.dialect.name())?;
            // The bytes are JSON text; binding them as text spares a check and a copy.
            values.add(ToSqlOutput::Borrowed(ValueRef::Text(&deferred.body)))
        };
        let first = PAYLOAD.all(t, &owed, bind)?;
        for (deferred, id) in owed.iter_mut().zip((first..).map(PayloadId::new)) {
            deferred.payload_id = id;
        }
        Ok(owed)
    }

    fn deferred(&self, event: &FanOut, dialect: Dialect, body: &Bytes) -> Deferred {
        Deferred {
            id: 0,
            generation: self.generation,
            event_id: event.event_id,
            event: event.event.clone(),
            dialect,
            payload_id: PayloadId::NONE,
            webhooks: Vec::new(),
            body: body.clone(),
        }
    }
}

/// Writes debts down, and gives them their ids.
fn write_owed(t: &Transaction<'_>, owed: &mut [Deferred]) -> rusqlite::Result<()> {
    let mut statement = t.prepare_cached(
        "INSERT INTO owed (generation, event_id, event, dialect, payload_id, webhooks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for deferred in owed {
        deferred.id = statement.insert(params![
            deferred.generation,
            deferred.event_id,
            deferred.event,
            deferred.dialect.name(),
            deferred.payload_id,
            deferred.webhooks.join("\n"),
        ])?;
    }
    Ok(())
}
