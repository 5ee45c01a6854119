//! Takes events into the log: bodies, deliveries, rejected rows and the cursor, in one transaction.
//!
//! A body is written once per event and dialect, and every delivery of it points there. The rows
//! come back as [`Due`]s, so that dispatch need not read them again. Which webhook wants what is
//! decided before; nothing here looks into a body.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::Doing;
use super::rows::{Insert, Values};
use super::{Error, Reader, Store};
use crate::model::print::Columns;
use crate::model::{Admission, Cursor, Dialect, Due, Fanned, Origin, Owed, Print, Rejected};

/// `(id, print)` of one row of the outbox in the cursor's blob: 8 bytes little-endian, 16 bytes.
const FINGERPRINT_BYTES: usize = 24;

/// Beside the id of a print of columns; version 0.1, whose prints were of the whole row, has it never.
/// It takes such an id for that of a row which is gone, as the outbox's own ids are smaller.
const COLUMNS: i64 = 1 << 62;

const PAYLOAD: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO payload (generation, event_id, dialect, body)",
    row: "(?, ?, ?, ?)",
};

const DELIVERY: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO delivery (generation, event_id, event, webhook, dialect, state, origin,
                                 attempts, due_at, created_at, payload_id)",
    row: "(?, ?, ?, ?, ?, 'pending', ?, 0, ?, ?, ?)",
};

impl Store {
    /// How far the outbox has been taken in; `None` in a log that never was told.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        read_cursor(&self.connection)
    }

    /// Sets the cursor by itself: at the start of a new log, or after the outbox went back.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn set_cursor(&mut self, cursor: &Cursor, now_ms: i64) -> Result<(), Error> {
        self.transact("set the cursor", |t| write_cursor(t, cursor, now_ms))
    }

    /// Takes one batch of the outbox in. Every delivery is due at once; they are returned in the
    /// order of the events and of their webhooks. What `later` says of a webhook's deliveries is
    /// true is owed: [`Store::pay`] makes them.
    ///
    /// # Errors
    /// The log can't be written: then nothing of the batch is in it, and the cursor is where it was.
    pub fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Owed>), Error> {
        bodies_are_there(&admission.events)?;
        let generation = admission.cursor.generation;
        self.transact("admit events", |t| {
            let made = Made {
                generation,
                origin: Origin::Event,
                now_ms,
            };
            let made = made.fan_out(t, &admission.events, later)?;
            reject(t, generation, &admission.rejected, now_ms)?;
            write_cursor(t, &admission.cursor, now_ms)?;
            Ok(made)
        })
    }

    /// Sets rows aside that the cursor had passed before they were written. `unless_traced`: only those
    /// of whose ids the log knows nothing. Returns how many.
    ///
    /// # Errors
    /// The log can't be written: then none was.
    pub fn set_aside(
        &mut self,
        generation: i64,
        rows: &[Rejected],
        unless_traced: bool,
        now_ms: i64,
    ) -> Result<usize, Error> {
        self.transact("set rows aside", |t| {
            let mut traced = t.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM delivery WHERE event_id = ?1)
                     OR EXISTS (SELECT 1 FROM rejected WHERE event_id = ?1)",
            )?;
            let mut aside = Vec::with_capacity(rows.len());
            for row in rows {
                let known = unless_traced && traced.query_row([row.event_id], |r| r.get(0))?;
                if !known {
                    aside.push(row.clone());
                }
            }
            reject(t, generation, &aside, now_ms)?;
            Ok(aside.len())
        })
    }

    /// Takes one batch in with nothing put off.
    #[cfg(test)]
    pub(crate) fn admit_all(
        &mut self,
        admission: &Admission,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        self.admit(admission, &|_| false, now_ms)
            .map(|(dues, _)| dues)
    }

    /// Makes deliveries without moving the cursor: for a replay, or to try a webhook out.
    ///
    /// # Errors
    /// The log can't be written: then nothing of it is in the log.
    pub fn add(
        &mut self,
        generation: i64,
        events: &[Fanned],
        origin: Origin,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        bodies_are_there(events)?;
        self.transact("add deliveries", |t| {
            insert(t, generation, events, origin, now_ms)
        })
    }
}

impl Reader {
    /// How far the outbox has been taken in, with what is known of its rows.
    ///
    /// # Errors
    /// The log can't be read.
    pub(super) fn known(&self) -> Result<Option<Cursor>, Error> {
        read_cursor(&self.connection)
    }
}

fn read_cursor(connection: &Connection) -> Result<Option<Cursor>, Error> {
    connection
        .prepare_cached("SELECT generation, event_id, fingerprints, time FROM cursor")
        .and_then(|mut statement| {
            statement
                .query_row([], |row| {
                    Ok(Cursor {
                        generation: row.get(0)?,
                        event_id: row.get(1)?,
                        fingerprints: unpack(row.get_ref(2)?.as_bytes()?),
                        time_ms: row.get(3)?,
                    })
                })
                .optional()
        })
        .doing("read the cursor")
}

pub(super) fn bodies_are_there(events: &[Fanned]) -> Result<(), Error> {
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
    generation: i64,
    events: &[Fanned],
    origin: Origin,
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
    pub(super) generation: i64,
    pub(super) origin: Origin,
    pub(super) now_ms: i64,
}

impl Made {
    /// Makes deliveries, each of its body's id. `id` of the templates is left out.
    pub(super) fn deliveries(
        &self,
        t: &Transaction<'_>,
        templates: Vec<(Due, i64)>,
    ) -> rusqlite::Result<Vec<Due>> {
        let bind = |(due, payload_id): &(Due, i64), values: &mut Values<'_, '_>| {
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
        let numbered = (first..).zip(templates);
        Ok(numbered.map(|(id, (due, _))| Due { id, ..due }).collect())
    }

    fn fan_out(
        &self,
        t: &Transaction<'_>,
        events: &[Fanned],
        later: &dyn Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Due>, Vec<Owed>)> {
        let mut owed = self.bodies(t, events)?;
        let mut dues = Vec::with_capacity(events.iter().map(|e| e.webhooks.len()).sum());
        let mut debts = owed.as_mut_slice();
        for event in events {
            let (of_event, others) = debts.split_at_mut(event.bodies.len());
            debts = others;
            for (webhook, place) in &event.webhooks {
                let debt = &mut of_event[*place];
                if later(webhook) {
                    debt.webhooks.push(webhook.clone());
                } else {
                    let due = debt.due(webhook, self.origin, self.now_ms);
                    dues.push((due, debt.payload_id));
                }
            }
        }
        let dues = self.deliveries(t, dues)?;
        owed.retain(|debt| !debt.webhooks.is_empty());
        write_owed(t, &mut owed)?;
        Ok((dues, owed))
    }

    /// Writes the bodies of events; what is owed of each is nothing so far.
    fn bodies(&self, t: &Transaction<'_>, events: &[Fanned]) -> rusqlite::Result<Vec<Owed>> {
        let mut owed: Vec<Owed> = Vec::with_capacity(events.len());
        for event in events {
            for (dialect, body) in &event.bodies {
                owed.push(self.debt(event, *dialect, body));
            }
        }
        let bind = |debt: &Owed, values: &mut Values<'_, '_>| {
            values.add(self.generation)?;
            values.add(debt.event_id)?;
            values.add(debt.dialect.name())?;
            // The bytes are JSON text; binding them as text spares a check and a copy.
            values.add(ToSqlOutput::Borrowed(ValueRef::Text(&debt.body)))
        };
        let first = PAYLOAD.all(t, &owed, bind)?;
        for (debt, id) in owed.iter_mut().zip(first..) {
            debt.payload_id = id;
        }
        Ok(owed)
    }

    fn debt(&self, event: &Fanned, dialect: Dialect, body: &Bytes) -> Owed {
        Owed {
            id: 0,
            generation: self.generation,
            event_id: event.event_id,
            event: event.event.clone(),
            dialect,
            payload_id: 0,
            webhooks: Vec::new(),
            body: body.clone(),
        }
    }
}

/// Writes debts down, and gives them their ids.
fn write_owed(t: &Transaction<'_>, owed: &mut [Owed]) -> rusqlite::Result<()> {
    let mut statement = t.prepare_cached(
        "INSERT INTO owed (generation, event_id, event, dialect, payload_id, webhooks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for debt in owed {
        debt.id = statement.insert(params![
            debt.generation,
            debt.event_id,
            debt.event,
            debt.dialect.name(),
            debt.payload_id,
            debt.webhooks.join("\n"),
        ])?;
    }
    Ok(())
}

fn reject(
    t: &Transaction<'_>,
    generation: i64,
    rejected: &[Rejected],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut statement = t.prepare_cached(
        "INSERT INTO rejected (generation, event_id, event, reason, time) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for row in rejected {
        statement.execute(params![
            generation,
            row.event_id,
            row.event,
            row.reason,
            now_ms
        ])?;
    }
    Ok(())
}

fn write_cursor(t: &Transaction<'_>, cursor: &Cursor, now_ms: i64) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO cursor (one, generation, event_id, fingerprints, time)
         VALUES (1, ?1, ?2, ?3, ?4)
         ON CONFLICT (one) DO UPDATE SET generation = excluded.generation,
           event_id = excluded.event_id, fingerprints = excluded.fingerprints, time = excluded.time",
    )?
    .execute(params![
        cursor.generation,
        cursor.event_id,
        pack(&cursor.fingerprints),
        now_ms
    ])?;
    Ok(())
}

fn pack(fingerprints: &[(i64, Print)]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(fingerprints.len() * FINGERPRINT_BYTES);
    for (id, print) in fingerprints {
        let (id, bytes) = match print {
            Print::Columns(columns) => (id | COLUMNS, columns.to_bytes()),
            Print::Whole(digest) => (*id, *digest),
        };
        blob.extend_from_slice(&id.to_le_bytes());
        blob.extend_from_slice(&bytes);
    }
    blob
}

/// An odd end, which only a hand can have made, is left out: one fingerprint less is still safe.
fn unpack(blob: &[u8]) -> Vec<(i64, Print)> {
    let (rows, _) = blob.as_chunks::<FINGERPRINT_BYTES>();
    rows.iter()
        .filter_map(|row| {
            let (id, bytes) = row.split_first_chunk::<8>()?;
            let (id, bytes) = (i64::from_le_bytes(*id), bytes.try_into().ok()?);
            Some(if id & COLUMNS == 0 {
                (id, Print::Whole(bytes))
            } else {
                (id & !COLUMNS, Print::Columns(Columns::from_bytes(bytes)))
            })
        })
        .collect()
}
