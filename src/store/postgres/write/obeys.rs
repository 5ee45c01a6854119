//! What the configuration says, and what people ask for: deliveries once more, an end of some, replays, a try.
//!
//! An order names its deliveries by their ids, and is one transaction over all of them. Left out: listing what there is
//! to order, which is the reader's.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::insert::insert;
use super::turns::{Turns, holder};
use super::values::{int, ints, maybe_int, maybe_word, numbers, truths, words};
use super::{Transaction, Writer};
use crate::model::{DeliveryId, Dialect, Due, EventId, FanOut, ReplayId, Trigger};
use crate::postgres::Trouble;
use crate::store::Error;
use crate::store::control::{Again, RedeliverError, Replay};
use crate::store::insert::{Takes, bodies_are_there};
use crate::store::postgres::read::{REPLAY, replay};
use crate::store::turn::InHand;
use crate::store::webhooks::patient;
use crate::store::withdraw::{CancelError, Cancelled, Withdrawal};
use crate::store::writes::Obeys;

/// A name that comes gets one of the slots that have the fewest: the first new one the emptiest, and so on.
const REGISTER: &str = "WITH cursor AS (SELECT generation, event_id FROM webhooksd.cursor),
  wanted AS (SELECT * FROM unnest($1::text[], $2::bool[]) AS w(name, active)),
  fresh AS (SELECT name, row_number() OVER (ORDER BY name COLLATE \"C\") AS place FROM wanted
             WHERE NOT EXISTS (SELECT FROM webhooksd.webhook k WHERE k.name = wanted.name)),
  slots AS (SELECT s.slot, row_number() OVER (ORDER BY count(k.name), s.slot) AS place
              FROM webhooksd.slot s LEFT JOIN webhooksd.webhook k ON k.slot = s.slot AND k.state <> 'removed'
             WHERE s.slot > 0 GROUP BY s.slot)
INSERT INTO webhooksd.webhook AS k (name, slot, state, created_at, since, generation, after_event_id)
SELECT w.name, coalesce(s.slot, 1), CASE WHEN w.active THEN 'active' ELSE 'inactive' END, $3, $3,
       coalesce((SELECT generation FROM cursor), 0), coalesce((SELECT event_id FROM cursor), 0)
  FROM wanted w LEFT JOIN fresh f ON f.name = w.name LEFT JOIN slots s ON s.place = (f.place - 1) % 256 + 1
    ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since,
       generation = excluded.generation, after_event_id = excluded.after_event_id
 WHERE k.state <> excluded.state";

const REMOVE: &str = "UPDATE webhooksd.webhook SET state = 'removed', since = $2,
  generation = coalesce((SELECT generation FROM webhooksd.cursor), 0),
  after_event_id = coalesce((SELECT event_id FROM webhooksd.cursor), 0)
  WHERE state <> 'removed' AND name <> ALL ($1)";

/// What a webhook is said to take beyond the last edge, and is not said yet.
const PATIENT: &str = "(SELECT k.name, p.above_ms FROM webhooksd.webhook k
         LEFT JOIN unnest($1::text[], $2::bigint[]) AS p(name, above_ms) ON p.name = k.name) p
   WHERE p.name = w.name AND w.above_ms IS DISTINCT FROM p.above_ms";

/// What deliveries are, for who would send them again. One that succeeded twice is there twice.
const STANDING: &str = "SELECT d.id, d.state, d.webhook, p.body IS NULL FROM webhooksd.delivery d
  LEFT JOIN webhooksd.payload p ON p.id = d.payload_id WHERE d.id = ANY ($1)";

/// The trigger makes the new ones, in this order.
const AGAIN: &str = "INSERT INTO webhooksd.redelivery (delivery_id)
  SELECT id FROM unnest($1::bigint[]) WITH ORDINALITY AS a(id, place) ORDER BY place RETURNING delivery_id, new_delivery_id";

/// Pending deliveries end, by order.
const CANCEL: &str = "WITH gone AS (DELETE FROM webhooksd.pending WHERE id = ANY ($1)
    RETURNING id, webhook, payload_id, origin, attempts, created_at)
  INSERT INTO webhooksd.ended (id, webhook, payload_id, origin, state, attempts, created_at, finished_at, by_order)
  SELECT id, webhook, payload_id, origin, 'cancelled', attempts, created_at, $2, true FROM gone
  RETURNING id, webhook";

impl Obeys for Writer {
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) -> Result<(), Error> {
        let names: Vec<&str> = webhooks.iter().map(|(name, _)| &**name).collect();
        let active: Vec<bool> = webhooks.iter().map(|(_, active)| *active).collect();
        self.transact("register webhooks", |t| {
            let values = [words(&names), truths(&active), int(&now_ms)];
            t.execute(REGISTER, &values)?;
            t.execute(REMOVE, &[words(&names), int(&now_ms)]).map(drop)
        })
    }

    fn know_dialects(&mut self, webhooks: &[(Arc<str>, Dialect)]) -> Result<(), Error> {
        let patient = patient(webhooks);
        let names: Vec<&str> = patient.keys().map(String::as_str).collect();
        let above_ms: Vec<i64> = patient.values().copied().collect();
        let values = [words(&names), ints(&above_ms)];
        let (step, sql) = (
            "read which webhooks wait longer",
            format!("SELECT 1 FROM webhooksd.webhook w, {PATIENT} LIMIT 1"),
        );
        if self.look(step, &sql, &values, |_| Ok(()))?.is_empty() {
            return Ok(());
        }
        self.transact("register webhooks", |t| {
            let sql =
                format!("UPDATE webhooksd.webhook w SET above_ms = p.above_ms FROM {PATIENT}");
            t.execute(&sql, &values).map(drop)
        })
    }

    fn next_test_id(&mut self, now_ms: i64) -> Result<EventId, Error> {
        let id = self.transact("give an id to a test", |t| {
            let sql = "INSERT INTO webhooksd.test_event AS e (one, event_id) VALUES (1, $1)
                ON CONFLICT (one) DO UPDATE SET event_id = greatest(excluded.event_id, e.event_id + 1)
                RETURNING event_id";
            t.first(sql, &[int(&now_ms)], |row| row.try_get(0))
        })?;
        Ok(EventId::new(id.unwrap_or(now_ms)))
    }

    fn redeliver(
        &mut self,
        ids: &[DeliveryId],
        is_served: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Again>, Error> {
        self.transact("redeliver", |t| redeliver(t, ids, is_served))
    }

    fn cancel_by_order(
        &mut self,
        ids: &[DeliveryId],
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<Vec<Cancelled>, Error> {
        let mut turns = std::mem::take(&mut self.turns);
        turns.at(now_ms);
        let cancelled = self.transact("cancel by order", |t| {
            cancel(t, (&mut turns, in_hand), ids, now_ms)
        });
        self.turns = turns;
        cancelled
    }

    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> Result<ReplayId, Error> {
        let (webhook, event) = (replay.webhook.as_deref(), replay.event.as_deref());
        let (next, last) = (replay.next_id.get(), replay.last_id.get());
        let generation = replay.generation.get();
        let id = self.transact("begin a replay", |t| {
            let sql = "INSERT INTO webhooksd.replay
                  (created_at, generation, since, until, webhook, event, next_id, last_id, matched)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
            let values = [
                int(&now_ms),
                int(&generation),
                int(&replay.since_ms),
                maybe_int(&replay.until_ms),
                maybe_word(&webhook),
                maybe_word(&event),
                int(&next),
                int(&last),
                int(&replay.matched),
            ];
            t.first(sql, &values, |row| row.try_get(0))
        })?;
        Ok(ReplayId::new(id.unwrap_or_default()))
    }

    fn unfinished_replay(&mut self) -> Result<Option<Replay>, Error> {
        let sql = format!("{REPLAY} WHERE finished_at IS NULL ORDER BY id LIMIT 1");
        let found = self.look("look for replays", &sql, &[], replay)?;
        Ok(found.into_iter().next())
    }

    fn replay_step(
        &mut self,
        replay: &Replay,
        next_id: EventId,
        events: &[FanOut],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        bodies_are_there(events)?;
        let (generation, origin) = (replay.generation, Trigger::Replay);
        let done: usize = events.iter().map(|event| event.webhooks.len()).sum();
        let done = i64::try_from(done).unwrap_or(i64::MAX);
        self.transact("replay events", |t| {
            // One whose commit was not answered is not made twice: what it made is found when it is due.
            let sql = "UPDATE webhooksd.replay SET next_id = $2, done = done + $3 WHERE id = $1 AND next_id = $4";
            let (id, next, here) = (replay.id.get(), next_id.get(), replay.next_id.get());
            let values = [int(&id), int(&next), int(&done), int(&here)];
            if t.execute(sql, &values)? == 0 {
                return Ok(Vec::new());
            }
            insert(t, takes, generation, events, origin, now_ms)
        })
    }

    fn finish_replay(&mut self, id: ReplayId, now_ms: i64) -> Result<(), Error> {
        self.transact("finish a replay", |t| {
            let sql = "UPDATE webhooksd.replay SET finished_at = $2 WHERE id = $1";
            t.execute(sql, &[int(&id.get()), int(&now_ms)]).map(drop)
        })
    }
}

/// A delivery's state and webhook, and whether its body is gone.
type Standing = (String, String, bool);

fn redeliver(
    t: &Transaction<'_>,
    ids: &[DeliveryId],
    is_served: &dyn Fn(&str) -> bool,
) -> Result<Vec<Again>, Trouble> {
    let asked = numbers(ids);
    let found: Vec<(i64, Standing)> = t.all(STANDING, &[ints(&asked)], |row| {
        Ok((
            row.try_get(0)?,
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?),
        ))
    })?;
    let found: HashMap<i64, Standing> = found.into_iter().collect();
    let refused = |id: &i64| match found.get(id) {
        None => Some(RedeliverError::Unknown),
        Some((state, ..)) if state == "pending" => Some(RedeliverError::Pending),
        Some((_, webhook, _)) if !is_served(webhook) => Some(RedeliverError::Unserved),
        Some((_, _, true)) => Some(RedeliverError::NotKept),
        Some(_) => None,
    };
    let refused: Vec<Option<RedeliverError>> = asked.iter().map(refused).collect();
    let goes = asked.iter().zip(&refused).filter(|(_, why)| why.is_none());
    let goes: Vec<i64> = goes.map(|(id, _)| *id).collect();
    let mut made: HashMap<i64, VecDeque<i64>> = HashMap::new();
    if !goes.is_empty() {
        let rows = t.all(AGAIN, &[ints(&goes)], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })?;
        for (id, new) in rows {
            made.entry(id).or_default().push_back(new);
        }
    }
    let answer = |(id, why): (&i64, Option<RedeliverError>)| {
        let (Some((_, webhook, _)), None) = (found.get(id), why) else {
            return Err(why.unwrap_or(RedeliverError::Unknown));
        };
        let new = made.get_mut(id).and_then(VecDeque::pop_front);
        new.map(|new| (DeliveryId::new(new), webhook.clone()))
            .ok_or(RedeliverError::Unknown)
    };
    Ok(asked.iter().zip(refused).map(answer).collect())
}

fn cancel(
    t: &Transaction<'_>,
    (turns, in_hand): (&mut Turns, InHand<'_>),
    ids: &[DeliveryId],
    now_ms: i64,
) -> Result<Vec<Cancelled>, Trouble> {
    let asked = numbers(ids);
    let gone = t.all(CANCEL, &[ints(&asked), int(&now_ms)], |row| {
        Ok((
            DeliveryId::new(row.try_get(0)?),
            row.try_get::<_, String>(1)?,
        ))
    })?;
    let mut gone: HashMap<DeliveryId, String> = gone.into_iter().collect();
    t.let_go(gone.keys().copied());
    // From the end, so that nobody's turn comes that is to be cancelled too.
    let mut places: Vec<usize> = (0..ids.len()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(ids[*place]));
    let mut answers = vec![Err(CancelError::Unknown); ids.len()];
    for place in places {
        let id = ids[place];
        answers[place] = match gone.remove(&id) {
            Some(webhook) => {
                turns.cancel(t, id, &webhook, in_hand)?;
                Ok((webhook, Withdrawal::Cancelled))
            }
            None => let_go(t, turns, id)?,
        };
    }
    Ok(answers)
}

/// Of one that is not pending: what it holds is let go of.
fn let_go(t: &Transaction<'_>, turns: &mut Turns, id: DeliveryId) -> Result<Cancelled, Trouble> {
    if let Some(webhook) = turns.let_go(t, id)? {
        return Ok(Ok((webhook, Withdrawal::LetGo)));
    }
    if let Some(holder) = holder(t, id)? {
        return Ok(Err(CancelError::Again(holder)));
    }
    let sql = "SELECT EXISTS (SELECT FROM webhooksd.delivery WHERE id = $1)";
    Ok(Err(if t.holds(sql, &[int(&id.get())])? {
        CancelError::Ended
    } else {
        CancelError::Unknown
    }))
}
