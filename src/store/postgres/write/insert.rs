//! How rows of deliveries are made: bodies, deliveries due at once, and what of them is owed.
//!
//! Each table gets its rows in one statement, whatever their number. Intake, replays and what was owed all come through
//! here; whose deliveries are put off is decided above.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::Row;

use super::Transaction;
use super::turns::Turns;
use super::values::{clean, int, ints, maybe_ints, maybe_texts, text, texts, truths, word, words};
use crate::dialect::keeps_message_id;
use crate::model::{
    Deferred, DeliveryId, Dialect, Due, FanOut, Generation, HELD_MS, PayloadId, Trigger,
};
use crate::postgres::Trouble;
use crate::store::insert::Takes;

/// Ids that nobody else gets, in order.
const DELIVERY_IDS: &str = "SELECT nextval('webhooksd.delivery_id') FROM generate_series(1, $1)";

const PAYLOAD_IDS: &str = "SELECT nextval('webhooksd.payload_id_seq') FROM generate_series(1, $1)";

const PAYLOAD: &str = "INSERT INTO webhooksd.payload (id, generation, event_id, event, dialect, body, tenant, message)
    SELECT r.id, $1, r.event_id, r.event, r.dialect, r.body, r.tenant, r.message
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        AS r(id, event_id, event, dialect, body, tenant, message)";

const PENDING: &str =
    "INSERT INTO webhooksd.pending (id, webhook, payload_id, origin, due_at, created_at, in_hand)
    SELECT r.id, r.webhook, r.payload_id, $1, r.due_at, $2, r.in_hand
      FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[])
        AS r(id, webhook, payload_id, due_at, in_hand)";

const OWED: &str = "INSERT INTO webhooksd.owed (payload_id, webhooks)
    SELECT r.payload_id, r.webhooks FROM unnest($1::bigint[], $2::text[]) AS r(payload_id, webhooks)
    RETURNING id, payload_id";

/// Makes every delivery of these events; none of them waits for its turn.
pub(super) fn insert(
    t: &Transaction<'_>,
    takes: Takes<'_>,
    generation: Generation,
    events: &[FanOut],
    origin: Trigger,
    now_ms: i64,
) -> Result<Vec<Due>, Trouble> {
    let made = Made {
        generation,
        origin,
        now_ms,
    };
    let turns = &mut Turns::default();
    let (dues, _none) = made.fan_out(t, (turns, takes), events, &|_| false)?;
    Ok(dues)
}

/// How pending deliveries are made that are due at once.
pub(super) struct Made {
    pub(super) generation: Generation,
    pub(super) origin: Trigger,
    pub(super) now_ms: i64,
}

impl Made {
    /// Makes deliveries. `id` of the templates is left out.
    pub(super) fn deliveries(
        &self,
        t: &Transaction<'_>,
        takes: Takes<'_>,
        mut dues: Vec<Due>,
    ) -> Result<Vec<Due>, Trouble> {
        number(t, &mut dues)?;
        self.write(t, takes, (&dues, &[]))?;
        Ok(dues)
    }

    /// Makes the deliveries of events. What `later` says of a webhook's is true is owed, and returned as such; what
    /// waits for its turn is not returned.
    pub(super) fn fan_out(
        &self,
        t: &Transaction<'_>,
        (turns, takes): (&mut Turns, Takes<'_>),
        events: &[FanOut],
        later: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Trouble> {
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
        let (dues, held) = turns.admit(t, dues, &places)?;
        self.write(t, takes, (&dues, &held))?;
        owed.retain(|deferred| !deferred.webhooks.is_empty());
        write_owed(t, &mut owed)?;
        Ok((dues, owed))
    }

    /// Writes the rows of deliveries that go now, and of those that wait for their turn.
    fn write(
        &self,
        t: &Transaction<'_>,
        takes: Takes<'_>,
        (dues, held): (&[Due], &[Due]),
    ) -> Result<(), Trouble> {
        let all = || dues.iter().chain(held);
        let ids: Vec<i64> = all().map(|due| due.id.get()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let webhooks: Vec<&str> = all().map(|due| &*due.webhook).collect();
        let payloads: Vec<i64> = all().map(|due| due.payload_id.get()).collect();
        let due_at = |due: &Due| Some(due.due_at_ms).filter(|at_ms| *at_ms < HELD_MS);
        let due_at: Vec<Option<i64>> = all().map(due_at).collect();
        let mut in_hand: Vec<bool> = dues.iter().map(takes).collect();
        for (due, _) in dues.iter().zip(&in_hand).filter(|(_, taken)| **taken) {
            t.took(due.id);
        }
        in_hand.resize(ids.len(), false);
        t.execute(
            PENDING,
            &[
                word(&self.origin.name()),
                int(&self.now_ms),
                ints(&ids),
                words(&webhooks),
                ints(&payloads),
                maybe_ints(&due_at),
                truths(&in_hand),
            ],
        )?;
        Ok(())
    }

    /// Writes the bodies of events; what is owed of each is nothing so far.
    fn bodies(&self, t: &Transaction<'_>, events: &[FanOut]) -> Result<Vec<Deferred>, Trouble> {
        let mut owed: Vec<Deferred> = Vec::with_capacity(events.len());
        let mut tenants: Vec<Option<Cow<'_, str>>> = Vec::with_capacity(events.len());
        for event in events {
            for (dialect, body) in &event.bodies {
                owed.push(self.deferred(event, *dialect, body));
                tenants.push(event.tenant.as_deref().map(clean));
            }
        }
        if owed.is_empty() {
            return Ok(owed);
        }
        let ids = next_ids(t, PAYLOAD_IDS, owed.len())?;
        for (deferred, id) in owed.iter_mut().zip(&ids) {
            deferred.payload_id = PayloadId::new(*id);
        }
        let event_ids: Vec<i64> = owed.iter().map(|body| body.event_id.get()).collect();
        let names: Vec<Cow<'_, str>> = owed.iter().map(|body| clean(&body.event)).collect();
        let dialects: Vec<&str> = owed.iter().map(|body| body.dialect.name()).collect();
        let bodies: Vec<Cow<'_, str>> = owed.iter().map(|body| text(&body.body)).collect();
        let message = |body: &'_ Deferred| {
            body.message
                .as_deref()
                .map(|id| clean(id).into_owned().into())
        };
        let messages: Vec<Option<Cow<'_, str>>> = owed.iter().map(message).collect();
        t.execute(
            PAYLOAD,
            &[
                int(&self.generation.get()),
                ints(&ids),
                ints(&event_ids),
                texts(&names),
                words(&dialects),
                texts(&bodies),
                maybe_texts(&tenants),
                maybe_texts(&messages),
            ],
        )?;
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

fn next_ids(t: &Transaction<'_>, sql: &str, count: usize) -> Result<Vec<i64>, Trouble> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    t.all(sql, &[int(&count)], |row| row.try_get(0))
}

/// Gives deliveries their ids.
fn number(t: &Transaction<'_>, dues: &mut [Due]) -> Result<(), Trouble> {
    if dues.is_empty() {
        return Ok(());
    }
    let ids = next_ids(t, DELIVERY_IDS, dues.len())?;
    for (due, id) in dues.iter_mut().zip(ids) {
        due.id = DeliveryId::new(id);
    }
    Ok(())
}

/// Writes debts down, and gives them their ids.
fn write_owed(t: &Transaction<'_>, owed: &mut [Deferred]) -> Result<(), Trouble> {
    if owed.is_empty() {
        return Ok(());
    }
    let payloads: Vec<i64> = owed.iter().map(|debt| debt.payload_id.get()).collect();
    let webhooks: Vec<Cow<'_, str>> = owed
        .iter()
        .map(|debt| debt.webhooks.join("\n").into())
        .collect();
    let values = [ints(&payloads), texts(&webhooks)];
    let of = |row: &Row| Ok((row.try_get(1)?, row.try_get(0)?));
    let ids: HashMap<i64, i64> = t.all(OWED, &values, of)?.into_iter().collect();
    for debt in owed {
        debt.id = ids.get(&debt.payload_id.get()).copied().unwrap_or_default();
    }
    Ok(())
}
