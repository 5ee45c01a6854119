//! Takes events into the log: bodies, deliveries, rejected rows and the cursor, in one transaction.
//!
//! A body is written once per event and dialect, and every delivery of it points there. The rows
//! come back as [`Due`]s, so that dispatch need not read them again. Which webhook wants what is
//! decided before; nothing here looks into a body.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OptionalExtension, Transaction, params};

use super::error::Doing;
use super::{Error, Store, owed};
use crate::model::{Admission, Cursor, Dialect, Due, Fanned, Origin, Owed, Rejected};

/// `(id, digest)` of one row of the outbox in the cursor's blob: 8 bytes little-endian, 16 bytes.
const FINGERPRINT_BYTES: usize = 24;

impl Store {
    /// How far the outbox has been taken in; `None` in a log that never was told.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        self.connection
            .prepare_cached("SELECT generation, event_id, fingerprints FROM cursor")
            .and_then(|mut statement| {
                statement
                    .query_row([], |row| {
                        Ok(Cursor {
                            generation: row.get(0)?,
                            event_id: row.get(1)?,
                            fingerprints: unpack(row.get_ref(2)?.as_bytes()?),
                        })
                    })
                    .optional()
            })
            .doing("read the cursor")
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
            let mut deliveries = Deliveries::new(t, generation, Origin::Event, now_ms)?;
            let made = deliveries.fan_out(t, &admission.events, later)?;
            reject(t, generation, &admission.rejected, now_ms)?;
            write_cursor(t, &admission.cursor, now_ms)?;
            Ok(made)
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
    let mut deliveries = Deliveries::new(t, generation, origin, now_ms)?;
    let (dues, _none) = deliveries.fan_out(t, events, &|_| false)?;
    Ok(dues)
}

/// Makes pending deliveries that are due at once.
pub(super) struct Deliveries<'t> {
    statement: CachedStatement<'t>,
    generation: i64,
    origin: Origin,
    now_ms: i64,
}

impl<'t> Deliveries<'t> {
    pub(super) fn new(
        t: &'t Transaction<'_>,
        generation: i64,
        origin: Origin,
        now_ms: i64,
    ) -> rusqlite::Result<Self> {
        let statement = t.prepare_cached(
            "INSERT INTO delivery (generation, event_id, event, webhook, dialect, state, origin,
                                   attempts, due_at, created_at, payload_id)
             VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, 0, ?7, ?7, ?8)",
        )?;
        Ok(Self {
            statement,
            generation,
            origin,
            now_ms,
        })
    }

    /// Makes one. `id` of the template is left out.
    pub(super) fn make(&mut self, due: Due, payload_id: i64) -> rusqlite::Result<Due> {
        let id = self.statement.insert(params![
            self.generation,
            due.event_id,
            due.event,
            due.webhook,
            due.dialect.name(),
            self.origin.name(),
            self.now_ms,
            payload_id,
        ])?;
        Ok(Due { id, ..due })
    }

    fn fan_out(
        &mut self,
        t: &Transaction<'_>,
        events: &[Fanned],
        later: &dyn Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Due>, Vec<Owed>)> {
        let mut payload = t.prepare_cached(
            "INSERT INTO payload (generation, event_id, dialect, body) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut dues = Vec::with_capacity(events.iter().map(|e| e.webhooks.len()).sum());
        let mut owed = Vec::new();
        for event in events {
            let first = owed.len();
            for (dialect, body) in &event.bodies {
                // The bytes are JSON text; binding them as text spares a check and a copy.
                let text = ToSqlOutput::Borrowed(ValueRef::Text(body));
                let dialect_name = dialect.name();
                let payload_id =
                    payload.insert(params![self.generation, event.event_id, dialect_name, text])?;
                owed.push(self.debt(event, *dialect, payload_id, body));
            }
            for (webhook, place) in &event.webhooks {
                let debt = &mut owed[first + *place];
                if later(webhook) {
                    debt.webhooks.push(webhook.clone());
                } else {
                    let due = debt.due(webhook, self.origin, self.now_ms);
                    dues.push(self.make(due, debt.payload_id)?);
                }
            }
        }
        owed.retain(|debt| !debt.webhooks.is_empty());
        owed::write(t, &mut owed)?;
        Ok((dues, owed))
    }

    fn debt(&self, event: &Fanned, dialect: Dialect, payload_id: i64, body: &Bytes) -> Owed {
        Owed {
            id: 0,
            generation: self.generation,
            event_id: event.event_id,
            event: event.event.clone(),
            dialect,
            payload_id,
            webhooks: Vec::new(),
            body: body.clone(),
        }
    }
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

fn pack(fingerprints: &[(i64, [u8; 16])]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(fingerprints.len() * FINGERPRINT_BYTES);
    for (id, digest) in fingerprints {
        blob.extend_from_slice(&id.to_le_bytes());
        blob.extend_from_slice(digest);
    }
    blob
}

/// An odd end, which only a hand can have made, is left out: one fingerprint less is still safe.
fn unpack(blob: &[u8]) -> Vec<(i64, [u8; 16])> {
    let (rows, _) = blob.as_chunks::<FINGERPRINT_BYTES>();
    rows.iter()
        .filter_map(|row| {
            let (id, digest) = row.split_first_chunk::<8>()?;
            Some((i64::from_le_bytes(*id), digest.try_into().ok()?))
        })
        .collect()
}
