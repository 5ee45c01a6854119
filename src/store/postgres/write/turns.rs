//! Turns: of the deliveries of one line (a webhook, or a value of one) the lowest is sent, and those behind it wait.
//!
//! A row of `turn` for each from its admission to its end, of webhooks with an order alone. What waits has no due time,
//! so that no look comes to it. Whoever ends a delivery calls [`Turns::end`] in the same transaction, which makes the
//! next of its line due. Left out: which line an event stands in (`filter`), the calls by which the pipeline has it
//! (`orders`), what goes together (`groups`), and the sending.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Row;

use super::groups::{self, Group, WHOLE};
use super::values::{int, ints, numbers, word, words};
use super::{Read, Transaction};
use crate::model::{
    Attempt, BatchRule, DeliveryId, Due, HELD_MS, Trigger, Turn, TurnRule, Verdict,
};
use crate::postgres::Trouble;
use crate::store::turn::InHand;

/// Cancelled in a worker's hand: its turn ends with its attempt, or when the worker lets go of it.
pub(super) const LEAVES: &str = "cancelled";

/// Whoever enters a line, or makes the next of one due, has its webhook's row until the end of the transaction: who
/// enters behind one that is leaving would else wait for a turn that nobody passes on.
const LOCK: &str =
    "SELECT FROM webhooksd.line WHERE webhook = ANY ($1) ORDER BY webhook FOR UPDATE";

const MAKE_LINES: &str = "INSERT INTO webhooksd.line SELECT DISTINCT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING";

/// The lines of these in which somebody stands.
const TAKEN: &str =
    "SELECT l.webhook, l.value FROM unnest($1::text[], $2::bigint[]) AS l(webhook, value)
    WHERE EXISTS (SELECT FROM webhooksd.turn t WHERE t.webhook = l.webhook AND t.value = l.value)";

const ENTER: &str = "INSERT INTO webhooksd.turn (delivery_id, webhook, value)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])";

/// Makes the first of each line due, where it is held.
const RELEASE: &str = "UPDATE webhooksd.pending p SET due_at = least(p.created_at, $3)
   FROM unnest($1::text[], $2::bigint[]) AS l(webhook, value),
   LATERAL (SELECT t.delivery_id FROM webhooksd.turn t WHERE t.webhook = l.webhook AND t.value = l.value
             ORDER BY t.delivery_id LIMIT 1) f
  WHERE p.id = f.delivery_id AND p.due_at IS NULL RETURNING p.webhook";

/// The same of some that are named.
const RELEASE_THESE: &str = "UPDATE webhooksd.pending SET due_at = least(created_at, $2)
  WHERE id = ANY ($1) AND due_at IS NULL RETURNING id";

const END: &str =
    "DELETE FROM webhooksd.turn WHERE delivery_id = ANY ($1) RETURNING webhook, value";

/// What was given up holds its line. One that was cancelled meanwhile was not given up.
const HOLD: &str = "UPDATE webhooksd.turn t SET state = 'failed', since = r.at
   FROM unnest($1::bigint[], $2::bigint[]) AS r(id, at)
  WHERE t.delivery_id = r.id AND t.state IS NULL
    AND EXISTS (SELECT FROM webhooksd.ended e WHERE e.id = r.id AND e.state = 'failed')
  RETURNING t.delivery_id";

/// What is due waits for its turn.
const HOLD_BACK: &str =
    "UPDATE webhooksd.pending SET due_at = NULL, in_hand = false WHERE id = ANY ($1)";

/// What holds a line and was sent again as one that was delivered now.
const AGAIN: &str =
    "SELECT t.delivery_id FROM unnest($1::bigint[], $2::text[]) AS r(payload_id, webhook)
   JOIN webhooksd.ended e ON e.payload_id = r.payload_id AND e.webhook = r.webhook
   JOIN webhooksd.turn t ON t.delivery_id = e.id WHERE t.state = 'failed'";

const LEAVING: &str =
    "SELECT delivery_id FROM webhooksd.turn WHERE delivery_id = ANY ($1) AND state = 'cancelled'";

/// By a redelivery's body and webhook the one that holds is found, however often it was sent again.
pub(super) const HOLDER: &str =
    "SELECT t.delivery_id FROM webhooksd.turn t WHERE t.delivery_id = $1 AND t.state = 'failed'
     UNION ALL
     SELECT t.delivery_id FROM webhooksd.ended x
       JOIN webhooksd.ended e ON e.payload_id = x.payload_id AND e.webhook = x.webhook
       JOIN webhooksd.turn t ON t.delivery_id = e.id
      WHERE x.id = $1 AND x.origin = 'redelivery' AND t.state = 'failed' LIMIT 1";

/// A line: the webhook and the value.
pub(super) type Line = (Arc<str>, i64);

/// What the writer knows of turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Of the webhooks that have an order by today's configuration.
    pub(super) rules: HashMap<Arc<str>, TurnRule>,
    /// The webhooks that may have rows; never fewer.
    pub(super) lines: HashSet<Arc<str>>,
    /// When what is written now happens, UNIX milliseconds: what was held is due by then, though it was made before a
    /// clock went back.
    pub(super) now_ms: i64,
    /// Whether some may wait for a worker to let go of what was cancelled.
    pub(super) leaving: bool,
    /// The webhooks of which something became due since it was asked last; never fewer.
    pub(super) released: BTreeSet<Arc<str>>,
    /// What was due and waits for its turn again, since it was asked last, with its webhook.
    pub(super) held_back: Vec<(DeliveryId, Arc<str>)>,
}

fn id(row: &Row) -> Read<DeliveryId> {
    row.try_get(0).map(DeliveryId::new)
}

/// The delivery that holds a line by the failure of that one, which has ended: itself, or what it was sent again for.
pub(super) fn holder(t: &Transaction<'_>, of: DeliveryId) -> Result<Option<DeliveryId>, Trouble> {
    t.first(HOLDER, &[int(&of.get())], id)
}

/// Has the lines of these webhooks alone, as soon as whoever has them has ended.
pub(super) fn lock(t: &Transaction<'_>, webhooks: &[&str]) -> Result<(), Trouble> {
    let names: BTreeSet<&str> = webhooks.iter().copied().collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() || t.rows(LOCK, &[words(&names)])?.len() == names.len() {
        return Ok(());
    }
    t.execute(MAKE_LINES, &[words(&names)])?;
    t.rows(LOCK, &[words(&names)]).map(drop)
}

fn line(row: &Row) -> Read<Line> {
    Ok((row.try_get::<_, &str>(0)?.into(), row.try_get(1)?))
}

impl Turns {
    /// What is written from now on happens then.
    pub(super) fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// Has deliveries that are about to be made stand in their lines: `places` says which of `dues` in which. Returns
    /// those that go now, and those that wait for their turn.
    pub(super) fn admit(
        &mut self,
        t: &Transaction<'_>,
        dues: Vec<Due>,
        places: &[(usize, Turn)],
    ) -> Result<(Vec<Due>, Vec<Due>), Trouble> {
        if places.is_empty() {
            return Ok((dues, Vec::new()));
        }
        let mut entered = (Vec::new(), Vec::new(), Vec::new());
        for (at, turn) in places {
            let due = &dues[*at];
            entered.0.push(due.id.get());
            entered.1.push(due.webhook.clone());
            entered.2.push(turn.get());
        }
        let names: Vec<&str> = entered.1.iter().map(|name| &**name).collect();
        lock(t, &names)?;
        let taken = t.all(TAKEN, &[words(&names), ints(&entered.2)], line)?;
        let mut taken: HashSet<Line> = taken.into_iter().collect();
        t.execute(ENTER, &[ints(&entered.0), words(&names), ints(&entered.2)])?;
        self.lines.extend(entered.1.iter().cloned());
        let mut groups: HashMap<Arc<str>, Group> = HashMap::new();
        let mut places = places.iter().peekable();
        let (mut free, mut held) = (Vec::with_capacity(dues.len()), Vec::new());
        for (at, mut due) in dues.into_iter().enumerate() {
            let Some((_, turn)) = places.next_if(|(place, _)| *place == at) else {
                free.push(due);
                continue;
            };
            let is_free = taken.insert((due.webhook.clone(), turn.get()));
            let bytes = due.body.len();
            let goes = match self.together(&due.webhook, turn.get()) {
                None => is_free,
                Some(_) if is_free => {
                    groups.insert(due.webhook.clone(), Group::of(bytes, due.dialect));
                    true
                }
                Some(rule) => {
                    let group = groups.get_mut(&due.webhook);
                    group.is_some_and(|group| group.takes(rule, bytes, due.dialect))
                }
            };
            if goes {
                free.push(due);
            } else {
                due.due_at_ms = HELD_MS;
                held.push(due);
            }
        }
        Ok((free, held))
    }

    pub(super) fn together(&self, webhook: &str, value: i64) -> Option<BatchRule> {
        let rule = self.rules.get(webhook);
        rule.filter(|_| value == WHOLE)?.together
    }

    /// Writes down what follows from attempts that are recorded in this transaction. Those `late` are of deliveries that
    /// are pending still, for they are another's.
    pub(super) fn note(
        &mut self,
        t: &Transaction<'_>,
        attempts: &[Attempt],
        late: &HashSet<DeliveryId>,
    ) -> Result<(), Trouble> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut uneven: BTreeSet<Arc<str>> = BTreeSet::new();
        let (mut ends, mut fails, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
        let mut again: (Vec<i64>, Vec<&str>) = Default::default();
        for attempt in attempts {
            let due = &attempt.due;
            if !self.lines.contains(&due.webhook) || late.contains(&due.id) {
                continue;
            }
            let is_whole = || self.together(&due.webhook, WHOLE).is_some();
            match (due.origin, attempt.verdict) {
                (Trigger::Event, Verdict::Delivered) => ends.push(due.id),
                (Trigger::Event, verdict) => {
                    if attempt.posted.is_some() || is_whole() {
                        uneven.insert(due.webhook.clone());
                    }
                    match verdict {
                        Verdict::Failed => {
                            fails.push((due.id, &*due.webhook, attempt.finished_at_ms));
                        }
                        _ => leaves.push(due.id),
                    }
                }
                (Trigger::Redelivery, Verdict::Delivered) => {
                    again.0.push(due.payload_id.get());
                    again.1.push(&due.webhook);
                }
                _ => {}
            }
        }
        ends.extend(self.failed(t, &fails)?);
        if self.leaving && !leaves.is_empty() {
            ends.extend(t.all(LEAVING, &[ints(&numbers(&leaves))], id)?);
        }
        if !again.0.is_empty() {
            ends.extend(t.all(AGAIN, &[ints(&again.0), words(&again.1)], id)?);
        }
        self.end_all(t, &ends)?;
        for webhook in uneven {
            self.hold_rest(t, &webhook)?;
        }
        Ok(())
    }

    /// Of the whole line of a webhook what goes in its next POST stays due; all else that is due waits for its turn again.
    /// That is how what had one turn parts: a POST that did not deliver all of it, other limits by today's configuration,
    /// or no arrays.
    pub(super) fn hold_rest(
        &mut self,
        t: &Transaction<'_>,
        webhook: &Arc<str>,
    ) -> Result<(), Trouble> {
        lock(t, &[&**webhook])?;
        let rule = self.together(webhook, WHOLE);
        let head = groups::head(t, webhook, rule)?;
        let due = groups::foremost(t, webhook, groups::MOST_TOGETHER)?;
        let rest = due.into_iter().filter(|id| !head.contains(id));
        let rest: Vec<DeliveryId> = rest.collect();
        if rest.is_empty() {
            return Ok(());
        }
        t.execute(HOLD_BACK, &[ints(&numbers(&rest))])?;
        t.let_go(rest.iter().copied());
        let of = |id| (id, webhook.clone());
        self.held_back.extend(rest.into_iter().map(of));
        Ok(())
    }

    /// A delivery has ended: the next of its line becomes due, where it had the turn. Whether it stood in one.
    pub(super) fn end(&mut self, t: &Transaction<'_>, id: DeliveryId) -> Result<bool, Trouble> {
        Ok(self.end_all(t, &[id])? > 0)
    }

    /// The same of several. Returns how many stood in a line.
    pub(super) fn end_all(
        &mut self,
        t: &Transaction<'_>,
        ids: &[DeliveryId],
    ) -> Result<usize, Trouble> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ended = t.all(END, &[ints(&numbers(ids))], line)?;
        let count = ended.len();
        let lines: BTreeSet<Line> = ended.into_iter().collect();
        // Only now, for what is deleted may be waited for.
        let names: Vec<&str> = lines.iter().map(|(webhook, _)| &**webhook).collect();
        lock(t, &names)?;
        let mut single = (Vec::new(), Vec::new());
        for (webhook, value) in &lines {
            match self.together(webhook, *value) {
                Some(rule) => {
                    if self.next_group(t, webhook, rule)? {
                        self.released.insert(webhook.clone());
                    }
                }
                None => {
                    single.0.push(&**webhook);
                    single.1.push(*value);
                }
            }
        }
        if !single.0.is_empty() {
            let values = [words(&single.0), ints(&single.1), int(&self.now_ms)];
            let of = |row: &Row| row.try_get::<_, &str>(0).map(Arc::from);
            self.released.extend(t.all(RELEASE, &values, of)?);
        }
        Ok(count)
    }

    /// A delivery was given up: it holds its line or ends its turn, as its webhook says.
    pub(super) fn fail(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
        webhook: &str,
        now_ms: i64,
    ) -> Result<(), Trouble> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let ends = self.failed(t, &[(id, webhook, now_ms)])?;
        self.end_all(t, &ends).map(drop)
    }

    /// Of what was given up, with its webhook and the time, that whose turn ends.
    fn failed(
        &self,
        t: &Transaction<'_>,
        fails: &[(DeliveryId, &str, i64)],
    ) -> Result<Vec<DeliveryId>, Trouble> {
        let holds = |webhook: &str| self.rules.get(webhook).is_some_and(|rule| rule.holds);
        let holding = || fails.iter().filter(|(_, webhook, _)| holds(webhook));
        let mut held = HashSet::new();
        if holding().next().is_some() {
            let ids: Vec<i64> = holding().map(|(id, _, _)| id.get()).collect();
            let times: Vec<i64> = holding().map(|(_, _, at_ms)| *at_ms).collect();
            held.extend(t.all(HOLD, &[ints(&ids), ints(&times)], id)?);
        }
        let ends = fails.iter().map(|(id, _, _)| *id);
        Ok(ends.filter(|id| !held.contains(id)).collect())
    }

    /// A delivery was cancelled. Where a worker has it, its turn ends with its attempt: there are never two in flight.
    pub(super) fn cancel(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
        webhook: &str,
        in_hand: InHand<'_>,
    ) -> Result<(), Trouble> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if !in_hand(webhook, id) {
            return self.end(t, id).map(drop);
        }
        let sql = "UPDATE webhooksd.turn SET state = 'cancelled' WHERE delivery_id = $1";
        self.leaving |= t.execute(sql, &[int(&id.get())])? > 0;
        Ok(())
    }

    /// The same of several of one webhook.
    pub(super) fn cancel_all(
        &mut self,
        t: &Transaction<'_>,
        ids: &[DeliveryId],
        webhook: &str,
        in_hand: InHand<'_>,
    ) -> Result<(), Trouble> {
        if !self.lines.contains(webhook) {
            return Ok(());
        }
        let (busy, free): (Vec<DeliveryId>, Vec<DeliveryId>) =
            ids.iter().partition(|id| in_hand(webhook, **id));
        self.end_all(t, &free)?;
        busy.iter()
            .try_for_each(|id| self.cancel(t, *id, webhook, in_hand))
    }

    /// Lets go of what a delivery that was given up holds. The webhook's name; `None` where it holds nothing.
    pub(super) fn let_go(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
    ) -> Result<Option<String>, Trouble> {
        let sql = "SELECT webhook FROM webhooksd.turn WHERE delivery_id = $1 AND state = 'failed'";
        let webhook = t.first(sql, &[int(&id.get())], |row| row.try_get(0))?;
        if webhook.is_some() {
            self.end(t, id)?;
        }
        Ok(webhook)
    }

    /// Makes what goes first in a webhook's one line due, and what goes with it. Whether it was held.
    fn next_group(
        &self,
        t: &Transaction<'_>,
        webhook: &str,
        rule: BatchRule,
    ) -> Result<bool, Trouble> {
        let sql = "SELECT delivery_id FROM webhooksd.turn WHERE webhook = $1 AND value = $2
            ORDER BY delivery_id LIMIT 1";
        let values = [word(&webhook), int(&WHOLE)];
        let Some(first) = t.first(sql, &values, id)? else {
            return Ok(false);
        };
        let release = |ids: Vec<i64>| t.all(RELEASE_THESE, &[ints(&ids), int(&self.now_ms)], id);
        if release(vec![first.get()])?.is_empty() {
            return Ok(false);
        }
        let ids = groups::group(t, webhook, first, rule)?;
        release(numbers(&ids))?;
        Ok(true)
    }
}
