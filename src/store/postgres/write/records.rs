//! Writes attempts and what follows from them, many in one transaction.
//!
//! A success always counts, whatever became of the delivery meanwhile: the endpoint has it. A retry or the end of the
//! schedule changes only what is still pending and this node's own: of what is another node's by now the attempt is a
//! fact and no more. Attempts that were written by a commit that was not answered are not written twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::Row;

use super::node::key;
use super::own::Teller;
use super::turns::HOLDER;
use super::values::{int, ints, numbers, short, smalls, word};
use super::{Read, Transaction, Writer, attempts, batches, bodies, streak};
use crate::model::{Attempt, AttemptId, Batch, Bodies, DeliveryId, Verdict};
use crate::postgres::Trouble;
use crate::store::Error;
use crate::store::postgres::days::since;
use crate::store::writes::Records;

/// Whether what is pending is this node's to decide: its webhook's slot is nobody else's. A test is whoever's made it.
macro_rules! mine {
    () => {
        "(k.origin = 'test' OR NOT EXISTS (
            SELECT FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot
             WHERE w.name = k.webhook AND s.owner <> $1::uuid))"
    };
}

const RETRY: &str = concat!(
    "UPDATE webhooksd.pending k SET attempts = r.number, due_at = r.due_at, in_hand = false
       FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS r(id, number, due_at)
      WHERE k.id = r.id AND ",
    mine!(),
    " RETURNING k.id"
);

const GIVE_UP: &str = concat!(
    "WITH gone AS (
       DELETE FROM webhooksd.pending k USING unnest($2::bigint[], $3::int[], $4::bigint[]) AS r(id, number, at)
        WHERE k.id = r.id AND ",
    mine!(),
    " RETURNING k.id, k.webhook, k.payload_id, k.origin, r.number, k.created_at, r.at)
     INSERT INTO webhooksd.ended (id, webhook, payload_id, origin, state, attempts, created_at, finished_at)
     SELECT id, webhook, payload_id, origin, 'failed', number, created_at, at FROM gone RETURNING id"
);

/// What is no longer pending was attempted all the same.
const COUNTED: &str = "UPDATE webhooksd.ended e SET attempts = r.number
   FROM unnest($1::bigint[], $2::int[]) AS r(id, number) WHERE e.id = r.id";

const HELD: &str =
    "UPDATE webhooksd.webhook SET held_until = greatest(held_until, $2) WHERE name = $1";

/// What a call's attempts came to.
struct Settled<'a> {
    /// The word for each attempt.
    outcomes: Vec<&'static str>,
    /// At which a delivery was given up.
    given_up: Vec<&'a Attempt>,
    /// Deliveries that are pending still, for they are another node's.
    late: HashSet<DeliveryId>,
}

impl Records for Writer {
    fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error> {
        // What became of the last commit is known before these are compared with it.
        self.connect().map_err(Error::Server)?;
        let told = &self.doubt.attempts;
        let fresh = if told.is_empty() {
            Cow::Borrowed(attempts)
        } else {
            let fresh = attempts
                .iter()
                .filter(|attempt| !told.contains(&key(attempt)));
            Cow::Owned(fresh.cloned().collect())
        };
        let last_id = if fresh.is_empty() {
            self.last_attempt()?
        } else {
            self.doubt.about_attempts(&fresh);
            self.record_all(&fresh)?
        };
        for attempt in attempts {
            self.doubt.attempts.remove(&key(attempt));
            self.tally.add(
                &attempt.due.webhook,
                attempt.started_at_ms,
                attempt.exchange.duration_us,
                attempt.verdict == Verdict::Delivered,
                attempt.error.as_deref(),
            );
        }
        self.tally.counted_to(last_id);
        Ok(())
    }

    fn form(&mut self, batch: &Batch) -> Result<(), Error> {
        self.transact("form a batch", |t| batches::write(t, batch))
    }

    fn holder(&self, id: DeliveryId) -> Result<Option<DeliveryId>, Error> {
        if self.turns.lines.is_empty() {
            return Ok(None);
        }
        let id = id.get();
        let found = self.read("look who holds a line", HOLDER, &[int(&id)], delivery)?;
        Ok(found.first().copied())
    }

    fn keep_bodies(&mut self, bodies: Bodies) {
        self.bodies = bodies;
    }

    fn roll_up(&mut self, now_ms: i64) -> Result<(), Error> {
        self.count_what_is_left()?;
        if self.tally.is_empty() {
            return Ok(());
        }
        self.write_rollup(now_ms, false)
    }

    fn flush(&mut self, now_ms: i64) -> Result<(), Error> {
        if !self.unsynced && self.tally.is_empty() {
            return Ok(());
        }
        self.write_rollup(now_ms, true)?;
        self.unsynced = false;
        Ok(())
    }
}

impl Writer {
    fn record_all(&mut self, attempts: &[Attempt]) -> Result<AttemptId, Error> {
        let (bodies, node) = (self.bodies, self.node.id().to_owned());
        let mut streaks = std::mem::take(&mut self.streaks);
        let mut turns = std::mem::take(&mut self.turns);
        let mut teller = Teller::of(&self.own);
        let ended = attempts.iter().map(|attempt| attempt.finished_at_ms);
        let now_ms = ended.max().unwrap_or_default();
        turns.at(now_ms);
        let recorded = self.transact("record attempts", |t| {
            let settled = settle(t, &node, attempts)?;
            batches::settle(t, attempts)?;
            let last_id = attempts::insert(t, bodies, attempts, &settled.outcomes)?;
            bodies::forget(t, bodies, attempts)?;
            note_held(t, attempts)?;
            turns.note(t, attempts, &settled.late)?;
            for attempt in attempts {
                // A POST of several that fails is one failure.
                let counts = attempt.stands_for_its_post() || attempt.verdict == Verdict::Delivered;
                if streaks.concerns(attempt) && counts {
                    streak::note(&mut streaks, t, attempt)?;
                }
            }
            if let Some(teller) = &mut teller {
                let of = (&*settled.given_up, streaks.changed);
                teller.attempts(t, &mut turns, of.0, of.1, now_ms)?;
            }
            t.let_go(attempts.iter().map(|attempt| attempt.due.id));
            Ok(last_id)
        });
        (self.streaks, self.turns) = (streaks, turns);
        // Also where it failed, for it may be committed: whoever is told of too much looks and finds nothing.
        Teller::told(&mut self.own, teller);
        recorded
    }

    fn last_attempt(&mut self) -> Result<AttemptId, Error> {
        let sql = "SELECT coalesce(max(id), 0) FROM webhooksd.attempt";
        let last = self.look("look for the last attempt", sql, &[], |row| row.try_get(0))?;
        Ok(AttemptId::new(last.first().copied().unwrap_or_default()))
    }
}

fn delivery(row: &Row) -> Read<DeliveryId> {
    row.try_get(0).map(DeliveryId::new)
}

/// Writes what becomes of the deliveries.
fn settle<'a>(
    t: &Transaction<'_>,
    node: &str,
    attempts: &'a [Attempt],
) -> Result<Settled<'a>, Trouble> {
    let delivered = attempts.iter().filter(|a| a.verdict == Verdict::Delivered);
    let delivered: Vec<DeliveryId> = delivered.map(|attempt| attempt.due.id).collect();
    let mut before = end_delivered(t, &delivered)?;
    let outcomes = attempts.iter().map(|attempt| {
        // The first of two in one call is how it ended.
        if attempt.verdict == Verdict::Delivered && !before.insert(attempt.due.id) {
            "again"
        } else {
            attempt.outcome()
        }
    });
    let outcomes = outcomes.collect();
    // Of several of one delivery the last counts.
    let (mut retries, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for attempt in attempts {
        match attempt.verdict {
            Verdict::Delivered => {}
            Verdict::RetryAt(at_ms) => {
                retries.insert(attempt.due.id, (attempt.sends(), at_ms));
            }
            Verdict::Failed => {
                let at = (attempt.sends(), attempt.finished_at_ms);
                failures.insert(attempt.due.id, at);
            }
        }
    }
    let mut changed = change(t, RETRY, node, &retries)?;
    let given_up = change(t, GIVE_UP, node, &failures)?;
    let mut settled = Settled {
        outcomes,
        given_up: Vec::new(),
        late: HashSet::new(),
    };
    let gave_up = |a: &&Attempt| a.verdict == Verdict::Failed && given_up.contains(&a.due.id);
    settled.given_up.extend(attempts.iter().filter(gave_up));
    changed.extend(given_up);
    let all = retries.into_iter().chain(failures);
    let unchanged: BTreeMap<_, _> = all.filter(|(id, _)| !changed.contains(id)).collect();
    if !unchanged.is_empty() {
        let ids = numbers(unchanged.keys());
        let sends: Vec<i32> = unchanged.values().map(|(sends, _)| short(*sends)).collect();
        t.execute(COUNTED, &[ints(&ids), smalls(&sends)])?;
        let sql = "SELECT id FROM webhooksd.pending WHERE id = ANY ($1)";
        settled.late.extend(t.all(sql, &[ints(&ids)], delivery)?);
    }
    Ok(settled)
}

/// Retries or ends deliveries, each after so many sends and at a time. Returns those of which that was so.
fn change(
    t: &Transaction<'_>,
    sql: &str,
    node: &str,
    of: &BTreeMap<DeliveryId, (u32, i64)>,
) -> Result<HashSet<DeliveryId>, Trouble> {
    if of.is_empty() {
        return Ok(HashSet::new());
    }
    let ids = numbers(of.keys());
    let sends: Vec<i32> = of.values().map(|(sends, _)| short(*sends)).collect();
    let times: Vec<i64> = of.values().map(|(_, at_ms)| *at_ms).collect();
    let values = [word(&node), ints(&ids), smalls(&sends), ints(&times)];
    Ok(t.all(sql, &values, delivery)?.into_iter().collect())
}

/// A success counts whatever became of the delivery: what is pending is so no more, what had ended has been delivered
/// instead, and what had been delivered before is returned.
fn end_delivered(t: &Transaction<'_>, ids: &[DeliveryId]) -> Result<HashSet<DeliveryId>, Trouble> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let numbers = numbers(ids);
    let sql = "DELETE FROM webhooksd.pending WHERE id = ANY ($1)";
    let ended = t.execute(sql, &[ints(&numbers)])?;
    if usize::try_from(ended).unwrap_or(usize::MAX) >= ids.len() {
        return Ok(HashSet::new());
    }
    let sql = "DELETE FROM webhooksd.ended WHERE id = ANY ($1)";
    t.execute(sql, &[ints(&numbers)])?;
    let sql = "SELECT DISTINCT delivery_id FROM webhooksd.attempt
        WHERE delivery_id = ANY ($1) AND outcome = 'delivered' AND";
    let sql = format!("{sql} {}", since(&numbers));
    let before = t.all(&sql, &[ints(&numbers)], delivery)?;
    Ok(before.into_iter().collect())
}

/// Writes down what the answers asked for.
fn note_held(t: &Transaction<'_>, attempts: &[Attempt]) -> Result<(), Trouble> {
    let mut held: HashMap<&str, i64> = HashMap::new();
    for attempt in attempts {
        if let Some(until_ms) = attempt.held_until_ms {
            let last_ms = held.entry(&attempt.due.webhook).or_insert(until_ms);
            *last_ms = until_ms.max(*last_ms);
        }
    }
    for (webhook, until_ms) in held {
        t.execute(HELD, &[word(&webhook), int(&until_ms)])?;
    }
    Ok(())
}
