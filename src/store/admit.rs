//! Takes events into the log: bodies, deliveries, rejected rows and the cursor, in one transaction.
//!
//! A body is written once per event and dialect, and every delivery of it points there. The rows
//! come back as [`Due`]s, so that dispatch need not read them again. Which webhook wants what is
//! decided before; nothing here looks into a body.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::Doing;
use super::faults::DoingWith as _;
use super::insert::{Made, Takes, bodies_are_there, insert};
use super::own::rejections;
use super::{Error, Reader, Store, gaps, snapshot};
use crate::model::print::Columns;
use crate::model::{
    Admission, Cursor, Deferred, Due, EventId, FanOut, Generation, Print, Rejected, Trigger,
};

/// The id and the print of a row.
pub(super) type Known = (EventId, Print);

/// `(id, print)` of one row of the outbox in the cursor's blob: 8 bytes little-endian, 16 bytes.
const FINGERPRINT_BYTES: usize = 24;

/// Beside the id of a print of columns; version 0.1, whose prints were of the whole row, has it never.
/// It takes such an id for that of a row which is gone, as the outbox's own ids are smaller.
const COLUMNS: i64 = 1 << 62;

/// Beside the id of a print from before the outbox was seen empty.
const FORMER: i64 = 1 << 61;

/// The step of who reads the cursor.
const READ_CURSOR: &str = "read the cursor";

impl Store {
    /// How far the outbox has been taken in; `None` in a log that never was told.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        read_cursor(&self.connection).doing_with(&self.faults, READ_CURSOR)
    }

    /// Sets the cursor by itself: at the start of a new log, or after the outbox went back.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn set_cursor(&mut self, cursor: &Cursor, now_ms: i64) -> Result<(), Error> {
        self.transact("set the cursor", |t| {
            gaps::forget(t, cursor)?;
            write_cursor(t, cursor, now_ms)
        })
    }

    /// Takes one batch of the outbox in. Every delivery is due at once but for what waits for its turn; they are
    /// returned in the order of the events and of their webhooks, without those that wait. What memory `takes` is queued, the rest parked. What `later` says of a webhook's deliveries is
    /// true is owed: [`Store::materialize`] makes them.
    ///
    /// # Errors
    /// The log can't be written: then nothing of the batch is in it, and the cursor is where it was.
    pub fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Error> {
        bodies_are_there(&admission.events)?;
        let generation = admission.cursor.generation;
        let mut turns = std::mem::take(&mut self.turns);
        let mut teller = self.own.teller();
        let admitted = self.transact_by_heart("admit events", |t, books| {
            let made = Made {
                generation,
                origin: Trigger::Event,
                now_ms,
            };
            let made = made.fan_out(t, (books, &mut turns, takes), &admission.events, later)?;
            reject(t, generation, &admission.rejected, now_ms)?;
            gaps::write(t, &admission.gaps)?;
            write_cursor(t, &admission.cursor, now_ms)?;
            if let Some(teller) = &mut teller {
                teller.tell(
                    t,
                    (books, &mut turns),
                    &rejections(&admission.rejected),
                    now_ms,
                )?;
            }
            Ok(made)
        });
        self.turns = turns;
        let admitted = admitted?;
        self.own.told(teller);
        Ok(admitted)
    }

    /// Sets rows aside that the cursor had passed before they were written. `unless_traced`: only those
    /// of whose ids the log knows nothing. Returns how many.
    ///
    /// # Errors
    /// The log can't be written: then none was.
    pub fn set_aside(
        &mut self,
        generation: Generation,
        rows: &[Rejected],
        unless_traced: bool,
        now_ms: i64,
    ) -> Result<usize, Error> {
        let mut turns = std::mem::take(&mut self.turns);
        let mut teller = self.own.teller();
        let count = self.transact_by_heart("set rows aside", |t, books| {
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
            aside
                .iter()
                .try_for_each(|row| gaps::close(t, row.event_id))?;
            if let Some(teller) = &mut teller {
                teller.tell(t, (books, &mut turns), &rejections(&aside), now_ms)?;
            }
            Ok(aside.len())
        });
        self.turns = turns;
        let count = count?;
        self.own.told(teller);
        Ok(count)
    }

    /// Takes one batch in with nothing put off.
    #[cfg(test)]
    pub(crate) fn admit_all(
        &mut self,
        admission: &Admission,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        self.admit(admission, &|_| false, &mut |_| false, now_ms)
            .map(|(dues, _)| dues)
    }

    /// Makes deliveries without moving the cursor: for a replay, or to try a webhook out.
    ///
    /// # Errors
    /// The log can't be written: then nothing of it is in the log.
    pub fn add(
        &mut self,
        generation: Generation,
        events: &[FanOut],
        origin: Trigger,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        bodies_are_there(events)?;
        self.transact_by_heart("add deliveries", |t, books| {
            insert(t, (books, takes), generation, events, origin, now_ms)
        })
    }
}

impl Reader {
    /// How far the outbox has been taken in, with what is known of its rows.
    ///
    /// # Errors
    /// The log can't be read.
    pub(super) fn known(&self) -> Result<Option<Cursor>, Error> {
        read_cursor(&self.connection).doing(READ_CURSOR)
    }
}

fn read_cursor(connection: &Connection) -> rusqlite::Result<Option<Cursor>> {
    let cursor = connection
        .prepare_cached("SELECT generation, event_id, fingerprints, time FROM cursor")
        .and_then(|mut statement| {
            statement
                .query_row([], |row| {
                    let (fingerprints, former) = unpack(row.get_ref(2)?.as_bytes()?);
                    Ok(Cursor {
                        generation: row.get(0)?,
                        event_id: row.get(1)?,
                        fingerprints,
                        former,
                        time_ms: row.get(3)?,
                        snapshot: None,
                    })
                })
                .optional()
        })?;
    let with_snapshot = cursor.map(|cursor| {
        let snapshot = snapshot::read(connection, cursor.generation)?;
        Ok(Cursor { snapshot, ..cursor })
    });
    with_snapshot.transpose()
}

fn reject(
    t: &Transaction<'_>,
    generation: Generation,
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
        pack(&cursor.fingerprints, &cursor.former),
        now_ms
    ])?;
    match &cursor.snapshot {
        Some(snapshot) => snapshot::write(t, cursor.generation, snapshot),
        None => Ok(()),
    }
}

pub(super) fn pack(current: &[Known], former: &[Known]) -> Vec<u8> {
    let mut blob = Vec::with_capacity((current.len() + former.len()) * FINGERPRINT_BYTES);
    let current = current.iter().map(|known| (known, 0));
    let former = former.iter().map(|known| (known, FORMER));
    for ((id, print), former) in current.chain(former) {
        let (columns, bytes) = match print {
            Print::Columns(columns) => (COLUMNS, columns.to_bytes()),
            Print::Whole(digest) => (0, *digest),
        };
        let id = id.get() | former | columns;
        blob.extend_from_slice(&id.to_le_bytes());
        blob.extend_from_slice(&bytes);
    }
    blob
}

/// An odd end, which only a hand can have made, is left out: one fingerprint less is still safe.
pub(super) fn unpack(blob: &[u8]) -> (Vec<Known>, Vec<Known>) {
    let (rows, _) = blob.as_chunks::<FINGERPRINT_BYTES>();
    let (mut current, mut former) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let Some((id, bytes)) = row.split_first_chunk::<8>() else {
            continue;
        };
        let Ok(bytes) = bytes.try_into() else {
            continue;
        };
        let id = i64::from_le_bytes(*id);
        let print = if id & COLUMNS == 0 {
            Print::Whole(bytes)
        } else {
            Print::Columns(Columns::from_bytes(bytes))
        };
        let prints = if id & FORMER == 0 {
            &mut current
        } else {
            &mut former
        };
        prints.push((EventId::new(id & !(COLUMNS | FORMER)), print));
    }
    (current, former)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_come_back_as_they_were_former_ones_too() {
        let columns = Print::Columns(Columns::from_bytes([7; 16]));
        let whole = Print::Whole([9; 16]);
        let of = |id, print| (EventId::new(id), print);
        let current = vec![of(9_007_199_254_740_991, columns), of(3, whole)];
        let former = vec![of(9_007_199_254_740_991, columns), of(2, whole)];
        let packed = pack(&current, &former);
        assert_eq!(unpack(&packed), (current, former));
    }
}
