//! Turns: of the deliveries of one line (a webhook, or a value of one) the lowest is sent, and those behind it wait.
//!
//! A row of `turn` for each from its admission to its end, of webhooks with an order alone. What waits is parked with
//! a due time that no look comes to, so a million of them cost no memory and no look. Whoever ends a delivery calls
//! [`Turns::end`] in the same transaction, which makes the next of its line due; the caller then has the lanes of
//! `Store::take_released` look. Left out: which line an event stands in (`filter`), the calls by which the pipeline has it (`order`), and the sending.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::books::Books;
use super::{formed, rows, words};
use crate::dialect;
use crate::model::{
    Attempt, BatchRule, DeliveryId, Dialect, Due, HELD_MS, Trigger, Turn, TurnRule, Verdict,
};

/// Whether a worker has that delivery of that webhook in hand: its attempt may be under way.
pub(crate) type InHand<'a> = &'a dyn Fn(&str, DeliveryId) -> bool;

/// Of `turn.state`: given up, and holds what is behind it.
const HOLDS: i64 = 1;

/// Cancelled in a worker's hand: its turn ends with its attempt, or when the worker lets go of it.
pub(super) const LEAVES: i64 = 2;

/// The first of a line.
const FIRST: &str = "SELECT delivery_id FROM turn INDEXED BY turn_of_value
  WHERE webhook_id = ?1 AND value = ?2 ORDER BY delivery_id LIMIT 1";

/// Makes the first of a line due, where it is held.
const RELEASE: &str = "UPDATE parked SET due_at = min(created_at, ?4) WHERE due_at = ?3 AND id = (
  SELECT delivery_id FROM turn INDEXED BY turn_of_value
   WHERE webhook_id = ?1 AND value = ?2 ORDER BY delivery_id LIMIT 1)";

/// The same of one that is named.
const RELEASE_ONE: &str =
    "UPDATE parked SET due_at = min(created_at, ?3) WHERE id = ?1 AND due_at = ?2";

/// What of a line may go together, the first of it first.
const TOGETHER: &str = "SELECT t.delivery_id, p.size, p.dialect, coalesce(k.attempts, q.attempts)
   FROM turn t INDEXED BY turn_of_value
   LEFT JOIN parked k ON k.id = t.delivery_id LEFT JOIN queued q ON q.id = t.delivery_id
   JOIN payload p ON p.id = coalesce(k.payload_id, q.payload_id)
  WHERE t.webhook_id = ?1 AND t.value = ?2 ORDER BY t.delivery_id LIMIT ?3";

/// The first of a line that are pending, with when they are due.
const FOREMOST: &str =
    "SELECT t.delivery_id, coalesce(k.due_at, q.due_at), q.id FROM turn t INDEXED BY turn_of_value
   LEFT JOIN parked k ON k.id = t.delivery_id LEFT JOIN queued q ON q.id = t.delivery_id
  WHERE t.webhook_id = ?1 AND t.value = ?2 AND coalesce(k.id, q.id) IS NOT NULL
  ORDER BY t.delivery_id LIMIT ?3";

/// More than ever go in one POST, so that what is due of a line is among so many.
const MOST_TOGETHER: i64 = 1_024;

/// What stood in memory's hands waits for its turn.
const HOLD: [&str; 2] = [
    "INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
     SELECT id, webhook_id, payload_id, origin, attempts, ?2, created_at FROM queued WHERE id = ?1",
    "UPDATE parked SET due_at = ?2 WHERE id = ?1",
];

/// What the writer knows of turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Of the webhooks that have an order by today's configuration.
    pub(super) rules: HashMap<Arc<str>, TurnRule>,
    /// The webhooks that may have rows; never fewer.
    pub(super) lines: HashSet<i64>,
    /// When what is written now happens, UNIX milliseconds: what was held is due by then, though it was made before a
    /// clock went back.
    now_ms: i64,
    /// Whether some may wait for a worker to let go of what was cancelled.
    pub(super) leaving: bool,
    /// The webhooks of which something became due since it was asked last; never fewer.
    pub(super) released: HashSet<i64>,
    /// What was due and waits for its turn again, since it was asked last, with its webhook.
    pub(super) held_back: Vec<(DeliveryId, Arc<str>)>,
}

/// What of a line goes in its first POST, as it is admitted.
struct Group {
    count: usize,
    bytes: usize,
    dialect: Dialect,
}

impl Group {
    fn of(bytes: usize, dialect: Dialect) -> Self {
        Self {
            count: 1,
            bytes: dialect::BRACKETS + bytes,
            dialect,
        }
    }

    /// Takes one more, where it goes in the same POST.
    fn takes(&mut self, rule: BatchRule, bytes: usize, dialect: Dialect) -> bool {
        self.count += 1;
        self.bytes += 1 + bytes;
        let is_alike = self.dialect == dialect && dialect::is_batched(dialect);
        self.count <= rule.max_events && self.bytes <= rule.max_bytes && is_alike
    }
}

impl Turns {
    /// What is written from now on happens then.
    pub(super) fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// What an earlier process left.
    pub(super) fn look(connection: &Connection) -> rusqlite::Result<Self> {
        let mut lines = HashSet::new();
        let mut next = connection.prepare_cached(
            "SELECT webhook_id FROM turn INDEXED BY turn_of_value WHERE webhook_id > ?1
              ORDER BY webhook_id LIMIT 1",
        )?;
        let mut last = i64::MIN;
        while let Some(id) = next.query_row([last], |row| row.get(0)).optional()? {
            lines.insert(id);
            last = id;
        }
        Ok(Self {
            lines,
            leaving: true,
            ..Self::default()
        })
    }

    /// Has deliveries that are about to be made stand in their lines: `places` says which of `dues` in which. Returns
    /// those that go now, and those that wait for their turn.
    pub(super) fn admit(
        &mut self,
        t: &Transaction<'_>,
        books: &mut Books,
        dues: Vec<Due>,
        places: &[(usize, Turn)],
    ) -> rusqlite::Result<(Vec<Due>, Vec<Due>)> {
        if places.is_empty() {
            return Ok((dues, Vec::new()));
        }
        let mut first = t.prepare_cached(FIRST)?;
        let mut enter = t.prepare_cached(
            "INSERT INTO turn (delivery_id, webhook_id, value) VALUES (?1, ?2, ?3)",
        )?;
        let mut groups: HashMap<i64, Group> = HashMap::new();
        let mut places = places.iter().peekable();
        let (mut free, mut held) = (Vec::with_capacity(dues.len()), Vec::new());
        for (at, mut due) in dues.into_iter().enumerate() {
            let Some((_, turn)) = places.next_if(|(place, _)| *place == at) else {
                free.push(due);
                continue;
            };
            let webhook_id = books.webhook(t, &due.webhook)?;
            let line = params![webhook_id, turn.get()];
            let is_free = !first.exists(line)?;
            enter.execute(params![due.id, webhook_id, turn.get()])?;
            self.lines.insert(webhook_id);
            let bytes = due.body.len();
            let goes = match self.together(&due.webhook, *turn) {
                None => is_free,
                Some(_) if is_free => {
                    groups.insert(webhook_id, Group::of(bytes, due.dialect));
                    true
                }
                Some(rule) => {
                    let group = groups.get_mut(&webhook_id);
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

    fn together(&self, webhook: &str, turn: Turn) -> Option<BatchRule> {
        let rule = self.rules.get(webhook).filter(|_| turn == Turn::WHOLE);
        rule?.together
    }

    /// Writes down what follows from attempts that are recorded in this transaction.
    pub(super) fn note(
        &mut self,
        t: &Transaction<'_>,
        books: &mut Books,
        attempts: &[Attempt],
    ) -> rusqlite::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut uneven: BTreeMap<i64, Arc<str>> = BTreeMap::new();
        for attempt in attempts {
            let due = &attempt.due;
            let webhook_id = books.webhook(t, &due.webhook)?;
            if !self.lines.contains(&webhook_id) {
                continue;
            }
            if due.origin == Trigger::Event
                && attempt.verdict != Verdict::Delivered
                && (attempt.posted.is_some() || self.together(&due.webhook, Turn::WHOLE).is_some())
            {
                uneven.insert(webhook_id, due.webhook.clone());
            }
            match (due.origin, attempt.verdict) {
                (Trigger::Event, Verdict::Delivered) => {
                    self.end(t, due.id)?;
                }
                (Trigger::Event, Verdict::Failed) => {
                    self.fail(t, due.id, &due.webhook, attempt.finished_at_ms)?;
                }
                (Trigger::Event, Verdict::RetryAt(_)) => self.leave(t, due.id)?,
                (Trigger::Redelivery, Verdict::Delivered) => {
                    let again: Vec<DeliveryId> = t
                        .prepare_cached(
                            "SELECT t.delivery_id FROM ended e INDEXED BY ended_payload
                               JOIN turn t ON t.delivery_id = e.id
                              WHERE e.payload_id = ?1 AND e.webhook_id = ?2 AND t.state = ?3",
                        )?
                        .query_map(params![due.payload_id, webhook_id, HOLDS], |row| row.get(0))?
                        .collect::<rusqlite::Result<_>>()?;
                    for id in again {
                        self.end(t, id)?;
                    }
                }
                _ => {}
            }
        }
        for (webhook_id, webhook) in uneven {
            self.hold_rest(t, webhook_id, &webhook)?;
        }
        Ok(())
    }

    /// Of the whole line of a webhook what goes in its next POST stays due; all else that is due waits for its turn
    /// again. That is how what had one turn parts: a POST that did not deliver all of it, other limits by today's
    /// configuration, or no arrays.
    pub(super) fn hold_rest(
        &mut self,
        t: &Transaction<'_>,
        webhook_id: i64,
        webhook: &Arc<str>,
    ) -> rusqlite::Result<()> {
        let line = (webhook_id, Turn::WHOLE.get());
        let head = self.head(t, line, self.together(webhook, Turn::WHOLE))?;
        let foremost: Vec<(DeliveryId, i64, Option<i64>)> = t
            .prepare_cached(FOREMOST)?
            .query_map(params![line.0, line.1, MOST_TOGETHER], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (id, due_at_ms, queued) in foremost {
            if due_at_ms == HELD_MS || head.contains(&id) {
                continue;
            }
            let sql = HOLD[usize::from(queued.is_none())];
            t.prepare_cached(sql)?.execute(params![id, HELD_MS])?;
            if queued.is_some() {
                rows::delete(t, "queued", &[id])?;
            }
            self.held_back.push((id, webhook.clone()));
        }
        Ok(())
    }

    /// What of a line goes in its next POST: the first, and what goes with it. None where the first is no longer
    /// pending, and holds it.
    fn head(
        &self,
        t: &Transaction<'_>,
        line: (i64, i64),
        rule: Option<BatchRule>,
    ) -> rusqlite::Result<Vec<DeliveryId>> {
        let first: Option<(DeliveryId, Option<i64>)> = t
            .prepare_cached(
                "SELECT delivery_id, state FROM turn INDEXED BY turn_of_value
                  WHERE webhook_id = ?1 AND value = ?2 ORDER BY delivery_id LIMIT 1",
            )?
            .query_row([line.0, line.1], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match (first, rule) {
            (None | Some((_, Some(_))), _) => Ok(Vec::new()),
            (Some((first, None)), None) => Ok(vec![first]),
            (Some((first, None)), Some(rule)) => group(t, line, first, rule),
        }
    }

    /// A delivery has ended: the next of its line becomes due, where it had the turn. Whether it stood in one.
    pub(super) fn end(&mut self, t: &Transaction<'_>, id: DeliveryId) -> rusqlite::Result<bool> {
        let line = t
            .prepare_cached("DELETE FROM turn WHERE delivery_id = ?1 RETURNING webhook_id, value")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((webhook_id, value)) = line else {
            return Ok(false);
        };
        if self.next(t, webhook_id, value)? {
            self.released.insert(webhook_id);
        }
        Ok(true)
    }

    /// A delivery was given up: it holds its line or ends its turn, as its webhook says.
    pub(super) fn fail(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
        webhook: &str,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        if self.rules.get(webhook).is_some_and(|rule| rule.holds) {
            // One that was cancelled meanwhile was not given up.
            let holds = t
                .prepare_cached(
                    "UPDATE turn SET state = ?2, since = ?3 WHERE delivery_id = ?1 AND state IS NULL
                        AND EXISTS (SELECT 1 FROM ended e WHERE e.id = ?1 AND e.state = 0)",
                )?
                .execute(params![id, HOLDS, now_ms])?;
            if holds > 0 {
                return Ok(());
            }
        }
        self.end(t, id).map(drop)
    }

    /// A delivery was cancelled. Where a worker has it, its turn ends with its attempt: there are never two in flight.
    pub(super) fn cancel(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
        webhook: &str,
        in_hand: InHand<'_>,
    ) -> rusqlite::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if !in_hand(webhook, id) {
            return self.end(t, id).map(drop);
        }
        let marked = t
            .prepare_cached("UPDATE turn SET state = ?2 WHERE delivery_id = ?1")?
            .execute(params![id, LEAVES])?;
        self.leaving |= marked > 0;
        Ok(())
    }

    /// Lets go of what a delivery that was given up holds. The webhook's name; `None` where it holds nothing.
    pub(super) fn let_go(
        &mut self,
        t: &Transaction<'_>,
        id: DeliveryId,
    ) -> rusqlite::Result<Option<String>> {
        let webhook = t
            .prepare_cached(
                "SELECT n.name FROM turn t JOIN webhook_name n ON n.id = t.webhook_id
                  WHERE t.delivery_id = ?1 AND t.state = ?2",
            )?
            .query_row(params![id, HOLDS], |row| row.get(0))
            .optional()?;
        if webhook.is_some() {
            self.end(t, id)?;
        }
        Ok(webhook)
    }

    /// An attempt has ended of one that is tried again, unless it was cancelled meanwhile.
    fn leave(&mut self, t: &Transaction<'_>, id: DeliveryId) -> rusqlite::Result<()> {
        let left = self.leaving
            && t.prepare_cached("SELECT 1 FROM turn WHERE delivery_id = ?1 AND state = ?2")?
                .exists(params![id, LEAVES])?;
        if left {
            self.end(t, id)?;
        }
        Ok(())
    }

    /// Makes what is first in a line due. Whether it was held.
    fn next(&self, t: &Transaction<'_>, webhook_id: i64, value: i64) -> rusqlite::Result<bool> {
        let Some(rule) = self.group_rule(t, webhook_id, value)? else {
            let released = t.prepare_cached(RELEASE)?.execute(params![
                webhook_id,
                value,
                HELD_MS,
                self.now_ms
            ])?;
            return Ok(released > 0);
        };
        let first: Option<DeliveryId> = t
            .prepare_cached(FIRST)?
            .query_row(params![webhook_id, value], |row| row.get(0))
            .optional()?;
        let Some(first) = first else { return Ok(false) };
        let mut release = t.prepare_cached(RELEASE_ONE)?;
        if release.execute(params![first, HELD_MS, self.now_ms])? == 0 {
            return Ok(false);
        }
        let ids = group(t, (webhook_id, value), first, rule)?;
        for id in ids {
            release.execute(params![id, HELD_MS, self.now_ms])?;
        }
        Ok(true)
    }

    /// What goes together of that line, where several do.
    fn group_rule(
        &self,
        t: &Transaction<'_>,
        webhook_id: i64,
        value: i64,
    ) -> rusqlite::Result<Option<BatchRule>> {
        let any = self.rules.values().any(|rule| rule.together.is_some());
        if value != Turn::WHOLE.get() || !any {
            return Ok(None);
        }
        let name: Option<String> = t
            .prepare_cached("SELECT name FROM webhook_name WHERE id = ?1")?
            .query_row([webhook_id], |row| row.get(0))
            .optional()?;
        Ok(name.and_then(|name| self.together(&name, Turn::WHOLE)))
    }
}

/// Whether the second of a webhook's whole line is due as well as its first.
pub(super) fn is_shared(connection: &Connection, webhook_id: i64) -> rusqlite::Result<bool> {
    let mut foremost = connection.prepare_cached(FOREMOST)?;
    let mut rows = foremost.query(params![webhook_id, Turn::WHOLE.get(), 2])?;
    let mut due = 0;
    while let Some(row) = rows.next()? {
        due += usize::from(row.get::<_, i64>(1)? != HELD_MS);
    }
    Ok(due > 1)
}

/// What of a line goes in one POST with its first: the batch that it was in, whatever the limits are by now, else
/// those behind it that are like it.
fn group(
    t: &Transaction<'_>,
    (webhook_id, value): (i64, i64),
    first: DeliveryId,
    rule: BatchRule,
) -> rusqlite::Result<Vec<DeliveryId>> {
    if let Some(batch) = formed::standing(t, first)? {
        return Ok(batch.members.into());
    }
    let limit = i64::try_from(rule.max_events).unwrap_or(i64::MAX);
    let mut together = t.prepare_cached(TOGETHER)?;
    let mut rows = together.query(params![webhook_id, value, limit])?;
    let (mut ids, mut bytes, mut like) = (Vec::new(), dialect::BRACKETS, None);
    while let Some(row) = rows.next()? {
        let (id, size, attempts): (DeliveryId, i64, u32) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let of = words::dialect(row.get_ref(2)?);
        bytes += usize::try_from(size).unwrap_or(usize::MAX / 2) + usize::from(id != first);
        let goes_with = bytes <= rule.max_bytes && like == Some((of, attempts));
        if id != first && !(goes_with && of.is_some_and(dialect::is_batched)) {
            break;
        }
        like = Some((of, attempts));
        ids.push(id);
    }
    Ok(ids)
}
