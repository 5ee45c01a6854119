//! Deliveries, what became of an event, and what is pending.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{COUNTED, Read, Reader, int, up_to, word};
use crate::model::{DeliveryId, Dialect, EventId, Generation};
use crate::store::Error;
use crate::store::read::{
    Count, DeliveryRow, DeliveryTrace, EventTrace, MadeFor, RejectedTrace, WebhookRow,
};

/// Deliveries of one event that are read, the newest: above the most webhooks there may be.
const MAX_DELIVERIES: i64 = 20_000;

/// Counts the pending ones of a webhook up to a limit, in place of `$1` and `$2`.
pub(super) const PENDING_OF: &str =
    "SELECT count(*) FROM (SELECT FROM webhooksd.pending q WHERE q.webhook = $1 LIMIT $2) q";

const MADE: &str = "SELECT DISTINCT p.event_id FROM webhooksd.payload p
  WHERE p.event_id BETWEEN $1 AND $2
    AND p.generation = (SELECT max(o.generation) FROM webhooksd.payload o WHERE o.event_id = p.event_id)
    AND (EXISTS (SELECT FROM webhooksd.attempt a WHERE a.payload_id = p.id AND a.webhook = $3 AND a.origin <> 'test')
      OR EXISTS (SELECT FROM webhooksd.pending k WHERE k.payload_id = p.id AND k.webhook = $3 AND k.origin <> 'test')
      OR EXISTS (SELECT FROM webhooksd.ended e WHERE e.payload_id = p.id AND e.webhook = $3 AND e.origin <> 'test'))";

/// The bodies that were made for an event in a dialect, and the ids that stand beside one; how many there are, and the
/// newest generation of those that hold a text.
const HOLDS: &str = "SELECT count(*), max(generation) FILTER (WHERE holds) FROM (
    SELECT p.generation, strpos(p.body, $3) > 0 AS holds FROM webhooksd.delivery d
      JOIN webhooksd.payload p ON p.id = d.payload_id
     WHERE d.event_id = $1 AND d.dialect = $2 AND p.body IS NOT NULL
    UNION ALL
    SELECT p.generation, strpos($3, p.message) > 0 FROM webhooksd.delivery d
      JOIN webhooksd.payload p ON p.id = d.payload_id
     WHERE d.event_id = $1 AND p.message IS NOT NULL) b";

/// The newest deliveries of an event, each with the last of its attempts.
const TRACES: &str = "SELECT d.id, d.generation, d.event, d.webhook, d.dialect, d.state, d.origin, d.attempts, d.due_at,
                d.finished_at, d.created_at, coalesce(e.by_order, false), a.status::int8, a.error
             FROM webhooksd.delivery d
             LEFT JOIN webhooksd.ended e ON e.id = d.id AND d.state = 'cancelled'
             LEFT JOIN LATERAL (SELECT l.status, l.error FROM webhooksd.attempt l
                                 WHERE l.delivery_id = d.id ORDER BY l.id DESC LIMIT 1) a ON true
            WHERE d.event_id = $1 ORDER BY d.id DESC LIMIT $2";

fn trace(row: &Row) -> Read<DeliveryTrace> {
    Ok(DeliveryTrace {
        id: DeliveryId::new(row.try_get(0)?),
        generation: Generation::new(row.try_get(1)?),
        event: row.try_get(2)?,
        webhook: row.try_get(3)?,
        dialect: row.try_get(4)?,
        state: row.try_get(5)?,
        origin: row.try_get(6)?,
        attempts: u32::try_from(row.try_get::<_, i32>(7)?).unwrap_or(0),
        due_at_ms: row.try_get(8)?,
        finished_at_ms: row.try_get(9)?,
        created_at_ms: row.try_get(10)?,
        by_order: row.try_get(11)?,
        status: row.try_get(12)?,
        error: row.try_get(13)?,
    })
}

fn delivery(row: &Row) -> Read<DeliveryRow> {
    Ok(DeliveryRow {
        id: DeliveryId::new(row.try_get(0)?),
        event_id: row.try_get::<_, Option<i64>>(1)?.map(EventId::new),
        event: row.try_get(2)?,
        webhook: row.try_get(3)?,
        dialect: row.try_get(4)?,
        state: row.try_get(5)?,
        origin: row.try_get(6)?,
        attempts: row.try_get(7)?,
        due_at_ms: row.try_get(8)?,
        finished_at_ms: row.try_get(9)?,
    })
}

impl Reader {
    pub(super) fn delivery_of(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Error> {
        let sql = "SELECT id, event_id, event, webhook, dialect, state, origin, attempts::int8, due_at, finished_at
             FROM webhooksd.delivery WHERE id = $1";
        self.first("read a delivery", sql, &[int(&id.get())], delivery)
    }

    pub(super) fn is_sent_again(&self, id: DeliveryId) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT FROM webhooksd.redelivery WHERE delivery_id = $1)";
        self.value(
            "look whether a delivery was sent again",
            sql,
            &[int(&id.get())],
        )
    }

    pub(super) fn cursor_of(&self) -> Result<Option<(Generation, EventId)>, Error> {
        let sql = "SELECT generation, event_id FROM webhooksd.cursor";
        self.first("read the cursor", sql, &[], |row| {
            Ok((
                Generation::new(row.try_get(0)?),
                EventId::new(row.try_get(1)?),
            ))
        })
    }

    pub(super) fn webhook_rows(&self) -> Result<Vec<WebhookRow>, Error> {
        let sql = "SELECT name, state, since, generation, after_event_id FROM webhooksd.webhook
            ORDER BY name COLLATE \"C\"";
        self.all("read the webhooks", sql, &[], |row| {
            Ok(WebhookRow {
                name: row.try_get(0)?,
                state: row.try_get(1)?,
                since_ms: row.try_get(2)?,
                generation: Generation::new(row.try_get(3)?),
                after_event_id: EventId::new(row.try_get(4)?),
            })
        })
    }

    pub(super) fn story(&self, event_id: EventId) -> Result<EventTrace, Error> {
        let id = event_id.get();
        let all = self.traces(id, MAX_DELIVERIES)?;
        let generation = all.iter().map(|d| d.generation).max();
        let (deliveries, earlier) =
            (all.into_iter()).partition::<Vec<_>, _>(|d| Some(d.generation) == generation);
        Ok(EventTrace {
            cursor: self.cursor_of()?,
            deliveries,
            earlier,
            rejected: self.rejected(id, generation.unwrap_or_default())?,
            webhooks: self.webhook_rows()?,
            pauses: self.all_pauses()?,
        })
    }

    fn traces(&self, event_id: i64, most: i64) -> Result<Vec<DeliveryTrace>, Error> {
        let values = [int(&event_id), int(&most)];
        self.all("read what became of an event", TRACES, &values, trace)
    }

    pub(super) fn newest_of_many(
        &self,
        event_id: EventId,
        (many, most): (usize, usize),
    ) -> Result<Option<Vec<DeliveryTrace>>, Error> {
        let sql =
            "SELECT count(*) FROM (SELECT FROM webhooksd.delivery WHERE event_id = $1 LIMIT $2) d";
        let id = event_id.get();
        let of = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let looked_at = of(many).saturating_add(1);
        let values = [int(&id), int(&looked_at)];
        let count: i64 = self.value("count an event's deliveries", sql, &values)?;
        if count <= of(many) {
            return Ok(None);
        }
        self.traces(id, of(most)).map(Some)
    }

    /// Why it was set aside, unless it has deliveries of a later generation: then that was another row.
    fn rejected(&self, id: i64, delivered: Generation) -> Result<Option<RejectedTrace>, Error> {
        let sql = "SELECT event, reason, time, generation FROM webhooksd.rejected
            WHERE event_id = $1 AND generation >= $2 ORDER BY id DESC LIMIT 1";
        let delivered = delivered.get();
        self.first(
            "read why a row was set aside",
            sql,
            &[int(&id), int(&delivered)],
            |row| {
                Ok(RejectedTrace {
                    event: row.try_get(0)?,
                    reason: row.try_get(1)?,
                    time_ms: row.try_get(2)?,
                    generation: Generation::new(row.try_get(3)?),
                })
            },
        )
    }

    pub(super) fn bodies_of(
        &self,
        generation: Generation,
        event_id: EventId,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let sql = "SELECT DISTINCT d.dialect, convert_to(p.body, 'UTF8') FROM webhooksd.delivery d
             JOIN webhooksd.payload p ON p.id = d.payload_id
            WHERE d.event_id = $2 AND d.generation = $1 AND p.body IS NOT NULL";
        let (generation, event_id) = (generation.get(), event_id.get());
        let values = [int(&generation), int(&event_id)];
        let found = self.all("read an event's bodies", sql, &values, |row| {
            Ok((row.try_get::<_, String>(0)?, row.try_get::<_, Vec<u8>>(1)?))
        })?;
        let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (dialect, body) in found {
            let kept = bodies.entry(dialect).or_default();
            if body > *kept {
                *kept = body;
            }
        }
        Ok(bodies.into_iter().collect())
    }

    pub(super) fn tenant_of(&self, event_id: EventId) -> Result<Option<String>, Error> {
        let sql = "SELECT tenant FROM webhooksd.payload WHERE event_id = $1 AND tenant IS NOT NULL LIMIT 1";
        let id = event_id.get();
        self.first("read whose event it is", sql, &[int(&id)], |row| {
            row.try_get(0)
        })
    }

    pub(super) fn generation_that_holds(
        &self,
        event_id: EventId,
        dialect: Dialect,
        text: &str,
    ) -> Result<Option<Option<Generation>>, Error> {
        let (id, dialect) = (event_id.get(), dialect.name());
        let values = [int(&id), word(&dialect), word(&text)];
        let found = self.first("look into an event's body", HOLDS, &values, |row| {
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, Option<i64>>(1)?))
        })?;
        let (bodies, holds) = found.unwrap_or_default();
        Ok((bodies > 0).then_some(holds.map(Generation::new)))
    }

    pub(super) fn what_was_made(
        &self,
        webhook: &str,
        ids: &RangeInclusive<EventId>,
    ) -> Result<MadeFor, Error> {
        // Asked first: what is taken meanwhile is at worst taken for what nothing was made of yet.
        let cursor = self.cursor_of()?.unwrap_or_default().1;
        let (first, last) = (ids.start().get(), ids.end().get());
        let values = [int(&first), int(&last), word(&webhook)];
        let events = self.all("look for what was made of events", MADE, &values, |row| {
            row.try_get(0).map(EventId::new)
        })?;
        let events: HashSet<EventId> = events.into_iter().collect();
        Ok(MadeFor { cursor, events })
    }

    pub(super) fn forgotten(
        &self,
        kept_since_ms: Option<i64>,
        may_go_early: bool,
    ) -> Result<EventId, Error> {
        const STEP: &str = "look how far back the log goes";
        let (generation, newest) = self.cursor_of()?.unwrap_or_default();
        let generation = generation.get();
        let mark = |sql: &str, time_ms: i64| {
            let values = [int(&generation), int(&time_ms)];
            self.first(STEP, sql, &values, |row| row.try_get(0).map(EventId::new))
        };
        let by_days = match kept_since_ms {
            Some(ms) => mark(
                "SELECT event_id FROM webhooksd.mark WHERE generation = $1 AND time <= $2 ORDER BY time DESC LIMIT 1",
                ms,
            )?,
            None => None,
        };
        // The first ones go first, whatever went early.
        let shortened = "SELECT shortened FROM webhooksd.meta";
        let is_shortened = may_go_early && self.value(STEP, shortened, &[])?;
        let early = match is_shortened {
            true => {
                let oldest_ms = self.oldest_ended()?.unwrap_or(i64::MAX);
                let after = "SELECT event_id FROM webhooksd.mark WHERE generation = $1 AND time >= $2 ORDER BY time LIMIT 1";
                Some(mark(after, oldest_ms)?.unwrap_or(newest))
            }
            false => None,
        };
        Ok(by_days.max(early).unwrap_or_default())
    }

    pub(super) fn pending_by_webhook(&self) -> Result<Vec<(String, i64)>, Error> {
        let sql = "SELECT webhook, count(*) FROM webhooksd.pending GROUP BY webhook ORDER BY webhook COLLATE \"C\"";
        self.all("count pending deliveries", sql, &[], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })
    }

    pub(super) fn all_pending(&self) -> Result<Count, Error> {
        let sql = "SELECT count(*) FROM (SELECT FROM webhooksd.pending LIMIT $1) q";
        let counted = self.value("count pending deliveries", sql, &[int(&(COUNTED + 1))])?;
        Ok(up_to(COUNTED, counted))
    }

    pub(super) fn due_before(
        &self,
        webhook: &str,
        due_at_ms: i64,
        id: DeliveryId,
    ) -> Result<Count, Error> {
        let sql = "SELECT count(*) FROM (SELECT FROM webhooksd.pending
             WHERE webhook = $1 AND due_at <= $2 AND (due_at, id) < ($2, $3) LIMIT $4) q";
        let (id, most) = (id.get(), COUNTED + 1);
        let values = [word(&webhook), int(&due_at_ms), int(&id), int(&most)];
        let counted = self.value("count pending deliveries", sql, &values)?;
        Ok(up_to(COUNTED, counted))
    }

    pub(super) fn first_due(&self, webhook: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT created_at FROM webhooksd.pending WHERE webhook = $1 ORDER BY due_at, id LIMIT 1";
        let step = "look for the oldest pending delivery";
        self.first(step, sql, &[word(&webhook)], |row| row.try_get(0))
    }

    pub(super) fn asked_to_wait(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        // A day from now at the most, by whatever clock.
        let sql = "SELECT name, least(held_until, $1 + 86400000) FROM webhooksd.webhook WHERE held_until > $1";
        let step = "read until when endpoints asked to wait";
        let found = self.all(step, sql, &[(&now_ms, Type::INT8)], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })?;
        Ok(found.into_iter().collect())
    }
}
