//! How rows of deliveries are made: bodies, deliveries due at once, and what of them is owed.
//!
//! A body is written once per event and dialect, and every delivery of it points there. Intake, replays
//! and what was owed all come through here; whose deliveries are put off is decided above.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Transaction, params};

use super::books::Books;
use super::rows::{Insert, Values};
use super::turn::Turns;
use super::{Error, next, words};
use crate::dialect::keeps_message_id;
use crate::model::{Deferred, DeliveryId, Dialect, Due, FanOut, Generation, PayloadId, Trigger};

const PAYLOAD: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO payload (id, generation, event_id, event, dialect, size, body, tenant)",
    row: "(?, ?, ?, ?, ?, ?, ?, ?)",
};

const QUEUED: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO queued (id, webhook_id, payload_id, origin, attempts, due_at, created_at)",
    row: "(?, ?, ?, ?, 0, ?, ?)",
};

const PARKED: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)",
    row: "(?, ?, ?, ?, 0, ?, ?)",
};

/// Whether memory takes a delivery that is about to be made: asked once for each, in their order, under the
/// log's lock. What it says yes to it has to take once that is committed.
pub(crate) type Takes<'a> = &'a mut dyn FnMut(&Due) -> bool;

pub(super) fn bodies_are_there(events: &[FanOut]) -> Result<(), Error> {
    let lacking = events
        .iter()
        .find(|e| e.webhooks.iter().any(|(_, index)| *index >= e.bodies.len()));
    lacking.map_or(Ok(()), |e| {
        Err(Error::NoBody {
            event_id: e.event_id,
        })
    })
}

/// Makes every delivery of these events.
pub(super) fn insert(
    t: &Transaction<'_>,
    (books, takes): (&mut Books, Takes<'_>),
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
    let turns = &mut Turns::default();
    let (dues, _none) = made.fan_out(t, (books, turns, takes), events, &|_| false)?;
    Ok(dues)
}

/// How pending deliveries are made that are due at once.
pub(super) struct Made {
    pub(super) generation: Generation,
    pub(super) origin: Trigger,
    pub(super) now_ms: i64,
}

impl Made {
    /// Makes deliveries: those that memory takes are queued, the others are parked. `id` of the templates is
    /// left out.
    pub(super) fn deliveries(
        &self,
        t: &Transaction<'_>,
        books: &mut Books,
        takes: Takes<'_>,
        mut dues: Vec<Due>,
    ) -> rusqlite::Result<Vec<Due>> {
        number(t, &mut dues)?;
        self.write(t, books, takes, (&dues, &[]))?;
        Ok(dues)
    }

    /// Writes the rows of deliveries that go now, and of those that wait for their turn.
    fn write(
        &self,
        t: &Transaction<'_>,
        books: &mut Books,
        takes: Takes<'_>,
        (dues, held): (&[Due], &[Due]),
    ) -> rusqlite::Result<()> {
        let mut bind = |due: &&Due, values: &mut Values<'_, '_>| {
            values.add(due.id)?;
            values.add(books.webhook(t, &due.webhook)?)?;
            values.add(due.payload_id)?;
            values.add(words::of_origin(self.origin))?;
            values.add(due.due_at_ms)?;
            values.add(self.now_ms)
        };
        let (queued, mut parked): (Vec<&Due>, Vec<&Due>) = dues.iter().partition(|due| takes(due));
        parked.extend(held);
        QUEUED.all(t, &queued, &mut bind)?;
        PARKED.all(t, &parked, &mut bind)?;
        Ok(())
    }

    /// Makes the deliveries of events. What `later` says of a webhook's is true is owed, and returned as such; what
    /// waits for its turn is not returned.
    pub(super) fn fan_out(
        &self,
        t: &Transaction<'_>,
        (books, turns, takes): (&mut Books, &mut Turns, Takes<'_>),
        events: &[FanOut],
        later: &dyn Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Due>, Vec<Deferred>)> {
        let mut owed = self.bodies(t, events)?;
        let mut dues = Vec::with_capacity(events.iter().map(|e| e.webhooks.len()).sum());
        let mut debts = owed.as_mut_slice();
        let mut places = Vec::new();
        for event in events {
            let (of_event, others) = debts.split_at_mut(event.bodies.len());
            debts = others;
            let mut ordered = event.turns.iter().peekable();
            for (place, (webhook, index)) in event.webhooks.iter().enumerate() {
                let turn = ordered.next_if(|(of, _)| *of == place);
                let deferred = &mut of_event[*index];
                if later(webhook) {
                    deferred.webhooks.push(webhook.clone());
                } else {
                    places.extend(turn.map(|(_, turn)| (dues.len(), *turn)));
                    dues.push(deferred.due(webhook, self.origin, self.now_ms));
                }
            }
        }
        if self.origin != Trigger::Event {
            // A replay or a test goes when it is asked for.
            places.clear();
        }
        number(t, &mut dues)?;
        let (dues, held) = turns.admit(t, books, dues, &places)?;
        self.write(t, books, takes, (&dues, &held))?;
        owed.retain(|deferred| !deferred.webhooks.is_empty());
        write_owed(t, &mut owed)?;
        Ok((dues, owed))
    }

    /// Writes the bodies of events; what is owed of each is nothing so far.
    fn bodies<'e>(
        &self,
        t: &Transaction<'_>,
        events: &'e [FanOut],
    ) -> rusqlite::Result<Vec<Deferred>> {
        let mut owed: Vec<Deferred> = Vec::with_capacity(events.len());
        for event in events {
            for (dialect, body) in &event.bodies {
                owed.push(self.deferred(event, *dialect, body));
            }
        }
        let first = next::payload(t)?.get();
        for (deferred, id) in owed.iter_mut().zip(first..) {
            deferred.payload_id = PayloadId::new(id);
        }
        // In the order of the bodies, which are bound one by one.
        let of_bodies = |event: &'e FanOut| event.bodies.iter().map(|_| event.tenant.as_deref());
        let mut tenants = events.iter().flat_map(of_bodies);
        let bind = |deferred: &Deferred, values: &mut Values<'_, '_>| {
            values.add(deferred.payload_id)?;
            values.add(self.generation)?;
            values.add(deferred.event_id)?;
            values.add(&deferred.event)?;
            values.add(words::of_dialect(deferred.dialect))?;
            values.add(i64::try_from(deferred.body.len()).unwrap_or(i64::MAX))?;
            // The bytes are JSON text; binding them as text spares a check and a copy.
            values.add(ToSqlOutput::Borrowed(ValueRef::Text(&deferred.body)))?;
            values.add(tenants.next().flatten())
        };
        PAYLOAD.all(t, &owed, bind)?;
        for deferred in owed.iter().filter(|deferred| deferred.message.is_some()) {
            t.prepare_cached(
                "INSERT OR REPLACE INTO payload_message (payload_id, id) VALUES (?1, ?2)",
            )?
            .execute(params![deferred.payload_id, deferred.message])?;
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
            message: event.message.clone().filter(|_| keeps_message_id(dialect)),
        }
    }
}

/// Gives deliveries their ids.
fn number(t: &Transaction<'_>, dues: &mut [Due]) -> rusqlite::Result<()> {
    let first = next::delivery(t)?.get();
    for (due, id) in dues.iter_mut().zip(first..) {
        due.id = DeliveryId::new(id);
    }
    Ok(())
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
