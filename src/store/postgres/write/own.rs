//! Events of webhooksd itself: made in the transaction that makes the fact, at most one for each.
//!
//! What they are, and why, is said where SQLite's are made (`store/own.rs`). Several nodes may tell of the same pause: who
//! looks for what differs, or gives an id, has the row of `own` locked. Left out: what they say ([`Announce`]).
//!
//! [`Announce`]: crate::model::Announce

use tokio_postgres::Row;

use super::Transaction;
use super::insert::Made;
use super::turns::Turns;
use super::values::{int, ints, maybe_words, words};
use crate::model::own::is_own;
use crate::model::{Attempt, DeliveryId, EventId, Fact, Generation, Halt, PayloadId, Trigger};
use crate::postgres::Trouble;
use crate::store::own::{self, Own, UNREADABLE, cut};

/// Pauses that have ended, by what was told.
pub(super) const ENDED: &str = "SELECT t.webhook, t.since, t.reason FROM webhooksd.pause_told t
  WHERE NOT EXISTS (SELECT FROM webhooksd.pause p WHERE p.webhook = t.webhook)
  ORDER BY t.webhook COLLATE \"C\"";

/// Pauses that were not told of. One that is over by then holds nobody back any more.
pub(super) const BEGUN: &str = "SELECT p.webhook, p.since, p.reason FROM webhooksd.pause p
  WHERE (p.until IS NULL OR p.until > $1)
    AND NOT EXISTS (SELECT FROM webhooksd.pause_told t WHERE t.webhook = p.webhook AND t.since = p.since)
  ORDER BY p.webhook COLLATE \"C\"";

/// Who else tells waits.
const LAST: &str = "SELECT event_id FROM webhooksd.own WHERE one = 1 FOR UPDATE";

/// Whether one is a test, or what a test was sent again as: it has its body for itself.
const TEST: &str =
    "SELECT EXISTS (SELECT FROM webhooksd.ended WHERE payload_id = $1 AND origin = 'test')
     OR EXISTS (SELECT FROM webhooksd.attempt WHERE payload_id = $1 AND origin = 'test')";

/// Tells of facts within one transaction.
pub(super) struct Teller(own::Teller);

impl Teller {
    /// Who tells of what a transaction makes, where somebody asks.
    pub(super) fn of(own: &Own) -> Option<Self> {
        own.teller().map(Self)
    }

    /// What it told is committed.
    pub(super) fn told(own: &mut Own, teller: Option<Self>) {
        own.told(teller.map(|teller| teller.0));
    }

    /// Makes an event of each fact, and its deliveries, due now.
    pub(super) fn tell(
        &mut self,
        t: &Transaction<'_>,
        turns: &mut Turns,
        facts: &[Fact],
        now_ms: i64,
    ) -> Result<(), Trouble> {
        if facts.is_empty() {
            return Ok(());
        }
        let last = t.first(LAST, &[], |row| row.try_get(0))?;
        let last: i64 = last.unwrap_or_default();
        let events = self.0.events(EventId::new(last), facts, now_ms);
        let Some(last) = events.last().map(|event| event.event_id.get()) else {
            return Ok(());
        };
        let sql = "INSERT INTO webhooksd.own AS o (one, event_id, asked) VALUES (1, $1, true)
            ON CONFLICT (one) DO UPDATE SET event_id = greatest(o.event_id, excluded.event_id), asked = true";
        t.execute(sql, &[int(&last)])?;
        let sql = "SELECT generation FROM webhooksd.cursor";
        let generation = t.first(sql, &[], |row| row.try_get(0).map(Generation::new))?;
        let made = Made {
            generation: generation.unwrap_or_default(),
            origin: Trigger::Event,
            now_ms,
        };
        made.fan_out(t, (turns, &mut |_| false), &events)?;
        self.0.made(events);
        Ok(())
    }

    /// Tells of the pauses that were made or have ended since that was last told, and writes down that it was.
    pub(super) fn pauses(
        &mut self,
        t: &Transaction<'_>,
        turns: &mut Turns,
        now_ms: i64,
    ) -> Result<(), Trouble> {
        t.rows(LAST, &[])?;
        let (ended, begun) = differences(t, now_ms)?;
        if !ended.is_empty() {
            let sql = "DELETE FROM webhooksd.pause_told WHERE webhook = ANY ($1)";
            t.execute(sql, &[words(&names(&ended))])?;
        }
        if !begun.is_empty() {
            let names = names(&begun);
            let since: Vec<i64> = begun.iter().map(|halt| halt.since_ms).collect();
            let reasons: Vec<Option<&str>> =
                begun.iter().map(|halt| halt.reason.as_deref()).collect();
            let sql = "INSERT INTO webhooksd.pause_told (webhook, since, reason)
                SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])
                ON CONFLICT (webhook) DO UPDATE SET since = excluded.since, reason = excluded.reason";
            let values = [words(&names), ints(&since), maybe_words(&reasons)];
            t.execute(sql, &values)?;
        }
        let facts = ended.into_iter().map(Fact::Resumed);
        let facts: Vec<_> = facts.chain(begun.into_iter().map(Fact::Paused)).collect();
        self.tell(t, turns, &facts, now_ms)
    }

    /// Tells of the deliveries that were given up at these attempts, and of pauses where one has changed.
    pub(super) fn attempts(
        &mut self,
        t: &Transaction<'_>,
        turns: &mut Turns,
        given_up: &[&Attempt],
        pauses_changed: bool,
        now_ms: i64,
    ) -> Result<(), Trouble> {
        let mut facts = Vec::with_capacity(given_up.len());
        for attempt in given_up {
            let due = &attempt.due;
            if is_told(t, due.origin, due.payload_id, (due.event_id, &due.event))? {
                facts.push(failure(t, attempt)?);
            }
        }
        self.tell(t, turns, &facts, now_ms)?;
        if pauses_changed {
            self.pauses(t, turns, now_ms)?;
        }
        Ok(())
    }

    /// Tells of deliveries that were given up because nothing of them can be sent. Of one whose body is gone it is
    /// not known what it was of, so nothing is told.
    pub(super) fn unreadable(
        &mut self,
        t: &Transaction<'_>,
        turns: &mut Turns,
        ids: &[DeliveryId],
        now_ms: i64,
    ) -> Result<(), Trouble> {
        let mut facts = Vec::with_capacity(ids.len());
        for id in ids {
            facts.extend(unreadable(t, *id)?);
        }
        self.tell(t, turns, &facts, now_ms)
    }
}

/// Whether it is told that a delivery was given up: of none of webhooksd's own events, and of no test, nor where a
/// test is sent again.
fn is_told(
    t: &Transaction<'_>,
    origin: Trigger,
    payload_id: PayloadId,
    (event_id, event): (EventId, &str),
) -> Result<bool, Trouble> {
    if is_own(event_id, event) {
        return Ok(false);
    }
    match origin {
        Trigger::Event | Trigger::Replay => Ok(true),
        Trigger::Test => Ok(false),
        Trigger::Redelivery => Ok(!t.holds(TEST, &[int(&payload_id.get())])?),
    }
}

fn failure(t: &Transaction<'_>, attempt: &Attempt) -> Result<Fact, Trouble> {
    let (due, answer) = (&attempt.due, attempt.exchange.result.as_ref().ok());
    let sql = "SELECT tenant FROM webhooksd.payload WHERE id = $1";
    let payload_id = due.payload_id.get();
    let tenant: Option<Option<String>> = t.first(sql, &[int(&payload_id)], |row| row.try_get(0))?;
    Ok(Fact::Failed {
        webhook: due.webhook.clone(),
        delivery: due.id,
        event: due.event.clone(),
        event_id: due.event_id,
        attempts: attempt.sends(),
        status: answer.map(|answer| answer.status),
        error: attempt.error.as_deref().map(cut),
        tenant: tenant.flatten().map(Into::into),
    })
}

fn unreadable(t: &Transaction<'_>, id: DeliveryId) -> Result<Option<Fact>, Trouble> {
    let sql = "SELECT d.webhook, d.event, d.event_id, d.attempts, d.origin, d.payload_id, p.tenant
        FROM webhooksd.delivery d JOIN webhooksd.payload p ON p.id = d.payload_id WHERE d.id = $1";
    let found = t.first(sql, &[int(&id.get())], |row| {
        let fact = Fact::Failed {
            webhook: row.try_get::<_, String>(0)?.into(),
            delivery: id,
            event: row.try_get::<_, String>(1)?.into(),
            event_id: EventId::new(row.try_get(2)?),
            attempts: row.try_get::<_, i32>(3)?.unsigned_abs(),
            status: None,
            error: Some(UNREADABLE.to_owned()),
            tenant: row.try_get::<_, Option<String>>(6)?.map(Into::into),
        };
        let event: String = row.try_get(1)?;
        let origin: String = row.try_get(4)?;
        let origin = Trigger::from_name(&origin).unwrap_or(Trigger::Event);
        let of = (EventId::new(row.try_get(2)?), event);
        Ok((fact, origin, PayloadId::new(row.try_get(5)?), of))
    })?;
    let Some((fact, origin, payload_id, (event_id, event))) = found else {
        return Ok(None);
    };
    Ok(is_told(t, origin, payload_id, (event_id, &event))?.then_some(fact))
}

/// The pauses that have ended and those that have begun since that was last told.
fn differences(t: &Transaction<'_>, now_ms: i64) -> Result<(Vec<Halt>, Vec<Halt>), Trouble> {
    let ended = t.all(ENDED, &[], halt)?;
    Ok((ended, t.all(BEGUN, &[int(&now_ms)], halt)?))
}

fn names(halts: &[Halt]) -> Vec<&str> {
    halts.iter().map(|halt| &*halt.webhook).collect()
}

fn halt(row: &Row) -> Result<Halt, tokio_postgres::Error> {
    Ok(Halt {
        webhook: row.try_get::<_, String>(0)?.into(),
        since_ms: row.try_get(1)?,
        reason: row.try_get(2)?,
    })
}
