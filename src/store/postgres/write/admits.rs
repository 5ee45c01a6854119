//! Takes events into the log: bodies, deliveries, rejected rows and the cursor, in one transaction.
//!
//! A body is written once per event and dialect, and every delivery of it points there. An admission whose commit was not
//! answered is asked for again, and may be another one by then: what of it is in the log is left out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::Row;

use super::ids::{Count, Ids};
use super::insert::{Made, insert};
use super::own::Teller;
use super::values::{bytes, clean, int, ints, maybe_int, maybe_word, texts};
use super::{Read, Transaction, Writer, gaps};
use crate::model::{
    Admission, Cursor, Deferred, Dialect, Due, EventId, FanOut, Generation, PayloadId, Rejected,
    Trigger,
};
use crate::postgres::Trouble;
use crate::store::Error;
use crate::store::admit::pack;
use crate::store::insert::{Takes, bodies_are_there};
use crate::store::own::rejections;
use crate::store::postgres::cursor::{CURSOR, cursor};
use crate::store::writes::Admits;

const OWED: &str =
    "SELECT o.id, p.generation, p.event_id, p.event, p.dialect, p.id, o.webhooks, p.body, p.message
  FROM webhooksd.owed o JOIN webhooksd.payload p ON p.id = o.payload_id ORDER BY o.id LIMIT $1";

const REJECT: &str = "INSERT INTO webhooksd.rejected (generation, event_id, event, reason, time)
    SELECT $1, r.event_id, r.event, r.reason, $2 FROM unnest($3::bigint[], $4::text[], $5::text[]) AS r(event_id, event, reason)";

/// Those of these events that the log knows, of any generation.
const KNOWN: &str = "SELECT event_id FROM webhooksd.payload WHERE event_id = ANY ($1)
    UNION SELECT event_id FROM webhooksd.rejected WHERE event_id = ANY ($1)";

/// The same of one generation.
const TRACED: &str =
    "SELECT event_id FROM webhooksd.payload WHERE event_id = ANY ($1) AND generation = $2
    UNION SELECT event_id FROM webhooksd.rejected WHERE event_id = ANY ($1) AND generation = $2";

impl Admits for Writer {
    fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        let of = |row: &Row| Ok((cursor(row)?, row.try_get(12)?));
        let found = self.look("read the cursor", CURSOR, &[], of)?;
        let (cursor, moves) = found.into_iter().next().unzip();
        self.moves = moves.unwrap_or_default();
        Ok(cursor)
    }

    fn set_cursor(&mut self, cursor: &Cursor, now_ms: i64) -> Result<(), Error> {
        let moves = self.transact("set the cursor", |t| {
            gaps::forget(t, cursor)?;
            let moved = move_cursor(t, cursor, None, now_ms, Count::default())?;
            Ok(moved.map(|(moves, _)| moves))
        })?;
        self.moves = moves.unwrap_or_default();
        self.doubt.events.clear();
        Ok(())
    }

    fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Error> {
        bodies_are_there(&admission.events)?;
        self.connect().map_err(Error::Server)?;
        let generation = admission.cursor.generation;
        let known = |id: EventId| self.doubt.events.contains(&(generation, id));
        let (events, rejected) = unknown(admission, &known);
        let mut told: Vec<(Generation, EventId)> = Vec::new();
        if !self.doubt.events.is_empty() {
            told.extend(
                admission
                    .events
                    .iter()
                    .map(|event| (generation, event.event_id)),
            );
            told.extend(
                admission
                    .rejected
                    .iter()
                    .map(|row| (generation, row.event_id)),
            );
        }
        let ids = events.iter().map(|event| event.event_id);
        let ids = ids.chain(rejected.iter().map(|row| row.event_id));
        self.doubt.about_events(generation, ids);
        let mut turns = std::mem::take(&mut self.turns);
        let mut teller = Teller::of(&self.own);
        let known = self.moves;
        let admitted = self.transact("admit events", |t| {
            let count = Count::of(&events, later);
            let moved = move_cursor(t, &admission.cursor, Some(known), now_ms, count)?;
            let Some((moves, ids)) = moved else {
                return Ok(None);
            };
            let made = Made {
                generation,
                origin: Trigger::Event,
                now_ms,
            };
            let made = made.fan_out_as(t, ids, (&mut turns, takes), &events, later)?;
            reject(t, generation, &rejected, now_ms)?;
            gaps::write(t, &admission.gaps)?;
            if let Some(teller) = &mut teller {
                teller.tell(t, &mut turns, &rejections(&rejected), now_ms)?;
            }
            Ok(Some((moves, made)))
        });
        self.turns = turns;
        Teller::told(&mut self.own, teller);
        let (moves, admitted) = admitted?.ok_or(Error::Overtaken)?;
        self.moves = moves;
        for id in told {
            self.doubt.events.remove(&id);
        }
        Ok(admitted)
    }

    fn set_aside(
        &mut self,
        generation: Generation,
        rows: &[Rejected],
        unless_traced: bool,
        now_ms: i64,
    ) -> Result<usize, Error> {
        let mut turns = std::mem::take(&mut self.turns);
        let mut teller = Teller::of(&self.own);
        let count = self.transact("set rows aside", |t| {
            let ids: Vec<i64> = rows.iter().map(|row| row.event_id.get()).collect();
            let known = if unless_traced {
                t.all(KNOWN, &[ints(&ids)], event_id)?
            } else {
                Vec::new()
            };
            let known: BTreeSet<EventId> = known.into_iter().collect();
            let aside = rows.iter().filter(|row| !known.contains(&row.event_id));
            let aside: Vec<Rejected> = aside.cloned().collect();
            reject(t, generation, &aside, now_ms)?;
            let mut ids = aside.iter().map(|row| row.event_id);
            ids.try_for_each(|id| gaps::close(t, id))?;
            if let Some(teller) = &mut teller {
                teller.tell(t, &mut turns, &rejections(&aside), now_ms)?;
            }
            Ok(aside.len())
        });
        self.turns = turns;
        Teller::told(&mut self.own, teller);
        count
    }

    fn add(
        &mut self,
        generation: Generation,
        events: &[FanOut],
        origin: Trigger,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        bodies_are_there(events)?;
        self.transact("add deliveries", |t| {
            insert(t, takes, generation, events, origin, now_ms)
        })
    }

    fn owed(&mut self, rows: usize) -> Result<Vec<Deferred>, Error> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let found = self.look("read what is owed", OWED, &[int(&rows)], debt)?;
        // What only a hand can have made is left alone.
        Ok(found.into_iter().flatten().collect())
    }

    fn materialize(
        &mut self,
        owed: &[Deferred],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        self.transact("make owed deliveries", |t| {
            let ids: Vec<i64> = owed.iter().map(|debt| debt.id).collect();
            let sql = "DELETE FROM webhooksd.owed WHERE id = ANY ($1) RETURNING id";
            let paid: Vec<i64> = t.all(sql, &[ints(&ids)], |row| row.try_get(0))?;
            let paid: BTreeSet<i64> = paid.into_iter().collect();
            let mut templates = Vec::new();
            for debt in owed.iter().filter(|debt| paid.contains(&debt.id)) {
                let due = |webhook| debt.due(webhook, Trigger::Event, now_ms);
                templates.extend(debt.webhooks.iter().map(due));
            }
            let made = Made {
                generation: Generation::default(),
                origin: Trigger::Event,
                now_ms,
            };
            made.deliveries(t, takes, templates)
        })
    }

    fn gaps(&mut self) -> Result<Vec<RangeInclusive<EventId>>, Error> {
        let sql = "SELECT first, last FROM webhooksd.gap ORDER BY first";
        self.look("read the gaps of the outbox", sql, &[], |row| {
            let ends = (row.try_get(0)?, row.try_get(1)?);
            Ok(EventId::new(ends.0)..=EventId::new(ends.1))
        })
    }

    fn traced(
        &mut self,
        generation: Generation,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, Error> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let generation = generation.get();
        let values = [ints(&ids), int(&generation)];
        let found = self.look("look which events the log has", TRACED, &values, event_id)?;
        Ok(found.into_iter().collect())
    }
}

/// What of an admission is not in the log yet.
fn unknown<'a>(
    admission: &'a Admission,
    is_known: &dyn Fn(EventId) -> bool,
) -> (Cow<'a, [FanOut]>, Cow<'a, [Rejected]>) {
    let events = &admission.events;
    let events = if events.iter().any(|event| is_known(event.event_id)) {
        let unknown = events.iter().filter(|event| !is_known(event.event_id));
        Cow::Owned(unknown.cloned().collect())
    } else {
        Cow::Borrowed(&**events)
    };
    let rows = &admission.rejected;
    let rejected = if rows.iter().any(|row| is_known(row.event_id)) {
        let unknown = rows.iter().filter(|row| !is_known(row.event_id));
        Cow::Owned(unknown.cloned().collect())
    } else {
        Cow::Borrowed(&**rows)
    };
    (events, rejected)
}

fn event_id(row: &Row) -> Read<EventId> {
    row.try_get(0).map(EventId::new)
}

fn debt(row: &Row) -> Read<Option<Deferred>> {
    let body: Option<&str> = row.try_get(7)?;
    let (Some(dialect), Some(body)) = (Dialect::from_name(row.try_get(4)?), body) else {
        return Ok(None);
    };
    Ok(Some(Deferred {
        id: row.try_get(0)?,
        generation: Generation::new(row.try_get(1)?),
        event_id: EventId::new(row.try_get(2)?),
        event: row.try_get::<_, &str>(3)?.into(),
        dialect,
        payload_id: PayloadId::new(row.try_get(5)?),
        webhooks: row.try_get::<_, &str>(6)?.lines().map(Arc::from).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        message: row.try_get::<_, Option<&str>>(8)?.map(Arc::from),
    }))
}

fn reject(
    t: &Transaction<'_>,
    generation: Generation,
    rejected: &[Rejected],
    now_ms: i64,
) -> Result<(), Trouble> {
    if rejected.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = rejected.iter().map(|row| row.event_id.get()).collect();
    let events: Vec<Cow<'_, str>> = rejected.iter().map(|row| clean(&row.event)).collect();
    let reasons: Vec<Cow<'_, str>> = rejected.iter().map(|row| clean(&row.reason)).collect();
    let generation = generation.get();
    let values = [
        int(&generation),
        int(&now_ms),
        ints(&ids),
        texts(&events),
        texts(&reasons),
    ];
    t.execute(REJECT, &values).map(drop)
}

/// The cursor, what an outbox in PostgreSQL needs of it, and ids. Those are drawn behind the lock of the cursor's row, so
/// that they are committed in their order: they are asked for by the row that it gives.
const MOVE: &str = "WITH moved AS (
    INSERT INTO webhooksd.cursor AS c (one, generation, event_id, fingerprints, time) VALUES (1, $1, $2, $3, $4)
    ON CONFLICT (one) DO UPDATE SET generation = excluded.generation, event_id = excluded.event_id,
      fingerprints = excluded.fingerprints, time = excluded.time, moves = c.moves + 1
      WHERE $5 IS NULL OR c.moves = $5 RETURNING moves),
  placed AS (
    INSERT INTO webhooksd.snapshot (one, generation, system, timeline, seen, upto, xid, id, since)
    SELECT 1, $1, $6, $7, $8, $9, $10, $11, $12 FROM moved WHERE $6 IS NOT NULL
    ON CONFLICT (one) DO UPDATE SET generation = excluded.generation, system = excluded.system,
      timeline = excluded.timeline, seen = excluded.seen, upto = excluded.upto, xid = excluded.xid,
      id = excluded.id, since = excluded.since)
  SELECT m.moves, p.ids, d.ids FROM moved m,
    LATERAL (SELECT array_agg(nextval('webhooksd.payload_id_seq')) AS ids FROM generate_series(1, $13)
              WHERE m.moves IS NOT NULL) p,
    LATERAL (SELECT array_agg(nextval('webhooksd.delivery_id')) AS ids FROM generate_series(1, $14)
              WHERE m.moves IS NOT NULL) d";

/// Moves the cursor, where `known`: only if it was moved so often before. How often it was by now, and ids for what is
/// taken in; `None`: it stays.
fn move_cursor(
    t: &Transaction<'_>,
    cursor: &Cursor,
    known: Option<i64>,
    now_ms: i64,
    count: Count,
) -> Result<Option<(i64, Ids)>, Trouble> {
    let (generation, event_id) = (cursor.generation.get(), cursor.event_id.get());
    let prints = pack(&cursor.fingerprints, &cursor.former);
    let at = cursor.snapshot.as_deref();
    let system = at.map(|at| &*at.system);
    let timeline = at.map(|at| &*at.timeline);
    let seen = at.map(|at| &*at.seen);
    let window = at.map(|at| &*at.window);
    let xid = at.map(|at| at.xid);
    let (id, since) = (at.map(|at| at.id.get()), at.map(|at| at.since.get()));
    let (payloads, deliveries) = count.numbers();
    let values = [
        int(&generation),
        int(&event_id),
        bytes(&prints),
        int(&now_ms),
        maybe_int(&known),
        maybe_word(&system),
        maybe_word(&timeline),
        maybe_word(&seen),
        maybe_word(&window),
        maybe_int(&xid),
        maybe_int(&id),
        maybe_int(&since),
        int(&payloads),
        int(&deliveries),
    ];
    t.first(MOVE, &values, |row| {
        Ok((row.try_get(0)?, Ids::read(row, 1)?))
    })
}

impl Writer {
    /// How often the cursor has moved.
    pub(super) fn moves_of_cursor(&mut self) -> Result<i64, Error> {
        let sql = "SELECT moves FROM webhooksd.cursor";
        let moves = self.look("read the cursor", sql, &[], |row| row.try_get(0))?;
        Ok(moves.first().copied().unwrap_or_default())
    }
}
