//! How rows of deliveries are made: bodies, deliveries due at once, and what of them is owed.
//!
//! Each table gets its rows in one statement, whatever their number, and those of bodies and deliveries go together. Intake, replays and what was owed all come through
//! here; whose deliveries are put off is decided above.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::Row;

use super::Transaction;
use super::ids::{Count, Ids};
use super::rows::{Of, Rows};
use super::turns::Turns;
use super::values::{clean, ints, text, texts};
use crate::dialect::keeps_message_id;
use crate::model::{Deferred, Dialect, Due, FanOut, Generation, HELD_MS, PayloadId, Trigger};
use crate::postgres::Trouble;
use crate::store::insert::Takes;

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
    let (dues, _none) = made.fan_out(t, (turns, takes), events)?;
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
        let count = Count {
            deliveries: dues.len(),
            ..Count::default()
        };
        Ids::draw(t, count)?.number(&mut dues);
        if let Some(rows) = self.pending(t, takes, (&dues, &[])) {
            t.insert(&rows)?;
        }
        Ok(dues)
    }

    /// Makes the deliveries of events, none of which is put off.
    pub(super) fn fan_out(
        &self,
        t: &Transaction<'_>,
        to: (&mut Turns, Takes<'_>),
        events: &[FanOut],
    ) -> Result<(Vec<Due>, Vec<Deferred>), Trouble> {
        let none = |_: &str| false;
        let ids = Ids::draw(t, Count::of(events, &none))?;
        self.fan_out_as(t, ids, to, events, &none)
    }

    /// Makes the deliveries of events with these ids. What `later` says of a webhook's is true is owed, and returned as
    /// such; what waits for its turn is not returned.
    pub(super) fn fan_out_as(
        &self,
        t: &Transaction<'_>,
        mut ids: Ids,
        (turns, takes): (&mut Turns, Takes<'_>),
        events: &[FanOut],
        later: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Trouble> {
        let mut owed: Vec<Deferred> = Vec::with_capacity(events.len());
        for event in events {
            let bodies = event.bodies.iter();
            owed.extend(bodies.map(|(dialect, body)| self.deferred(event, *dialect, body)));
        }
        ids.number_bodies(&mut owed);
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
        ids.number(&mut dues);
        let (dues, held) = turns.admit(t, dues, &places)?;
        let pending = self.pending(t, takes, (&dues, &held));
        match (self.bodies(events, &owed), pending) {
            (Some(bodies), Some(pending)) => t.insert_both(&bodies, &pending)?,
            (rows, others) => rows.iter().chain(&others).try_for_each(|r| t.insert(r))?,
        }
        owed.retain(|deferred| !deferred.webhooks.is_empty());
        write_owed(t, &mut owed)?;
        Ok((dues, owed))
    }

    /// The rows of deliveries that go now, and of those that wait for their turn.
    fn pending<'d>(
        &self,
        t: &Transaction<'_>,
        takes: Takes<'_>,
        (dues, held): (&'d [Due], &'d [Due]),
    ) -> Option<Rows<'d>> {
        let all = || dues.iter().chain(held);
        let ids: Vec<i64> = all().map(|due| due.id.get()).collect();
        if ids.is_empty() {
            return None;
        }
        let due_at = |due: &Due| Some(due.due_at_ms).filter(|at_ms| *at_ms < HELD_MS);
        let due_at: Vec<Option<i64>> = all().map(due_at).collect();
        let mut in_hand: Vec<bool> = dues.iter().map(takes).collect();
        for (due, _) in dues.iter().zip(&in_hand).filter(|(_, taken)| **taken) {
            t.took(due.id);
        }
        in_hand.resize(ids.len(), false);
        let webhooks: Vec<&str> = all().map(|due| &*due.webhook).collect();
        let payloads: Vec<i64> = all().map(|due| due.payload_id.get()).collect();
        let mut rows = Rows::new("pending", "id", Of::Int, ids);
        rows.add("webhook", Of::Word, webhooks)
            .add("payload_id", Of::Int, payloads)
            .all("origin", Of::Word, self.origin.name())
            .add("due_at", Of::Int, due_at)
            .all("created_at", Of::Int, self.now_ms)
            .add("in_hand", Of::Truth, in_hand);
        Some(rows)
    }

    /// The rows of the bodies of events.
    fn bodies<'d>(&self, events: &'d [FanOut], bodies: &'d [Deferred]) -> Option<Rows<'d>> {
        if bodies.is_empty() {
            return None;
        }
        let mut tenants: Vec<Option<Cow<'_, str>>> = Vec::with_capacity(bodies.len());
        for event in events {
            let tenant = event.tenant.as_deref().map(clean);
            tenants.extend(std::iter::repeat_n(tenant, event.bodies.len()));
        }
        let of = bodies.iter();
        let ids: Vec<i64> = of.clone().map(|body| body.payload_id.get()).collect();
        let event_ids: Vec<i64> = of.clone().map(|body| body.event_id.get()).collect();
        let names: Vec<Cow<'_, str>> = of.clone().map(|body| clean(&body.event)).collect();
        let dialects: Vec<&str> = of.clone().map(|body| body.dialect.name()).collect();
        let texts: Vec<Cow<'_, str>> = of.clone().map(|body| text(&body.body)).collect();
        let messages = of.map(|body| body.message.as_deref().map(clean));
        let mut rows = Rows::new("payload", "id", Of::Int, ids);
        rows.all("generation", Of::Int, self.generation.get())
            .add("event_id", Of::Int, event_ids)
            .add("event", Of::Word, names)
            .add("dialect", Of::Word, dialects)
            .add("body", Of::Word, texts)
            .add("tenant", Of::Word, tenants)
            .add("message", Of::Word, messages.collect());
        Some(rows)
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
