//! The queue: what is due, when the next is, cancelling, clock steps, and others' redeliveries.
//!
//! All of it stands on one index of what is in nobody's hands, by webhook and due time, so the cost goes by what is asked
//! for and never by how much waits. Limits and order between webhooks are the caller's. How what is due is read is left
//! to `dues`.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::clamp::ClampPass;
use super::dues::DueLook;
use super::own::Teller;
use super::values::{int, ints, numbers, word};
use super::{Read, Transaction, Writer};
use crate::dialect::LONGEST_HOLD_MS;
use crate::model::{DeliveryId, Dialect, Due};
use crate::postgres::Trouble;
use crate::store::queue::Clamped;
use crate::store::turn::InHand;
use crate::store::writes::Queues;
use crate::store::{Error, Lost};

/// Ends some of what is pending: `$2` is the state, `$3` the time.
const END: &str = "WITH gone AS (
    DELETE FROM webhooksd.pending WHERE id = ANY ($1) RETURNING id, webhook, payload_id, origin, attempts, created_at)
  INSERT INTO webhooksd.ended (id, webhook, payload_id, origin, state, attempts, created_at, finished_at)
  SELECT id, webhook, payload_id, origin, $2, attempts, created_at, $3 FROM gone";

/// What is in nobody's hands of all that is in somebody's: but for what other nodes that are there own.
const RELEASE: &str = "UPDATE webhooksd.pending k SET in_hand = false
  WHERE k.in_hand AND NOT EXISTS (
    SELECT FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot JOIN webhooksd.node n ON n.id = s.owner
     WHERE w.name = k.webhook AND s.owner <> $1::uuid)";

/// The names of the index, a seek each.
const WEBHOOKS: &str = "WITH RECURSIVE w AS (
    (SELECT webhook FROM webhooksd.pending WHERE NOT in_hand ORDER BY webhook LIMIT 1)
    UNION ALL
    SELECT (SELECT k.webhook FROM webhooksd.pending k WHERE NOT k.in_hand AND k.webhook > w.webhook
             ORDER BY k.webhook LIMIT 1) FROM w WHERE w.webhook IS NOT NULL)
  SELECT webhook FROM w WHERE webhook IS NOT NULL";

/// The first of those names behind one.
const NEXT_WEBHOOK: &str = "SELECT k.webhook, (SELECT w.held_until FROM webhooksd.webhook w WHERE w.name = k.webhook)
   FROM webhooksd.pending k WHERE NOT k.in_hand AND ($1 IS NULL OR k.webhook > $1) ORDER BY k.webhook LIMIT 1";

const LATE: &str = "SELECT k.id, k.due_at, k.attempts, p.dialect
   FROM (SELECT id, due_at, attempts, payload_id FROM webhooksd.pending
          WHERE webhook = $1 AND NOT in_hand AND due_at >= $2 AND (due_at > $2 OR id > $3)
          ORDER BY due_at, id LIMIT $4) k
   LEFT JOIN webhooksd.payload p ON p.id = k.payload_id ORDER BY k.due_at, k.id";

/// Rows that others write: redeliveries, and pauses.
const OTHERS: &str = "SELECT coalesce(max(id), 0)::text || ' ' || coalesce((SELECT
    sum(hashtextextended(concat_ws(' ', webhook, since, until, reason), 0))::text FROM webhooksd.pause), '')
  FROM webhooksd.redelivery";

/// Redeliveries get their ids before they are committed, so some may be seen behind others: so many are looked at again.
const LATE_REDELIVERIES: i64 = 256;

impl Queues for Writer {
    fn due(
        &mut self,
        webhook: &str,
        now_ms: i64,
        max_rows: usize,
        max_bytes: usize,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<Vec<Due>, Error> {
        self.release_lost()?;
        self.turns.at(now_ms);
        self.pass_turns_on(webhook, skip)?;
        let look = DueLook {
            webhook,
            now_ms,
            max_rows,
            max_bytes,
            skip,
        };
        let (dues, mut broken) = self.read_due(&look)?;
        if !broken.is_empty() {
            let mut turns = std::mem::take(&mut self.turns);
            let mut teller = Teller::of(&self.own);
            let failed = self.transact("fail unreadable deliveries", |t| {
                end(t, &broken, "failed", now_ms)?;
                let mut ids = broken.iter();
                ids.try_for_each(|id| turns.fail(t, *id, webhook, now_ms))?;
                match &mut teller {
                    Some(teller) => teller.unreadable(t, &mut turns, &broken, now_ms),
                    None => Ok(()),
                }
            });
            self.turns = turns;
            Teller::told(&mut self.own, teller);
            failed?;
            self.unreadable.append(&mut broken);
        }
        Ok(dues)
    }

    fn take_unreadable(&mut self) -> Vec<DeliveryId> {
        std::mem::take(&mut self.unreadable)
    }

    fn next_due(&mut self, webhook: &str) -> Result<Option<i64>, Error> {
        self.next_due_after(webhook, i64::MIN)
    }

    fn next_due_after(&mut self, webhook: &str, after_ms: i64) -> Result<Option<i64>, Error> {
        self.release_lost()?;
        let sql = "SELECT due_at FROM webhooksd.pending WHERE webhook = $1 AND NOT in_hand AND due_at > $2
            ORDER BY due_at LIMIT 1";
        let values = [word(&webhook), int(&after_ms)];
        let step = "ask when the next delivery is due";
        Ok(self.look(step, sql, &values, |row| row.try_get(0))?.pop())
    }

    fn pending_webhooks(&mut self) -> Result<Vec<String>, Error> {
        self.release_lost()?;
        let step = "list webhooks with pending deliveries";
        let mut names: Vec<String> = self.look(step, WEBHOOKS, &[], |row| row.try_get(0))?;
        names.sort_unstable();
        Ok(names)
    }

    fn lost(&self) -> Lost {
        self.lost.clone()
    }

    fn cancel(
        &mut self,
        webhook: &str,
        max_rows: usize,
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<usize, Error> {
        self.release_lost()?;
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut turns = std::mem::take(&mut self.turns);
        turns.at(now_ms);
        let cancelled = self.transact("cancel deliveries", |t| {
            let sql = "SELECT id FROM webhooksd.pending WHERE webhook = $1 AND NOT in_hand
                ORDER BY due_at, id LIMIT $2";
            let ids = t.all(sql, &[word(&webhook), int(&limit)], id)?;
            let cancelled = end(t, &ids, "cancelled", now_ms)?;
            turns.cancel_all(t, &ids, webhook, in_hand)?;
            Ok(cancelled)
        });
        self.turns = turns;
        cancelled
    }

    fn clamp_due(
        &mut self,
        now_ms: i64,
        longest_delay_ms: &dyn Fn(Dialect, u32) -> i64,
        max_rows: usize,
    ) -> Result<Clamped, Error> {
        // Where it fails, the next begins anew.
        let mut pass = std::mem::take(&mut self.clamp);
        if pass.webhook.is_none() {
            // What is in hand is in the index only once it is let go of, and its due time is as wrong.
            self.lost.tell();
            self.clamp_held(now_ms)?;
        }
        self.release_lost()?;
        let mut late = (Vec::new(), Vec::new());
        let more = self.look_for_late(&mut pass, now_ms, max_rows, &mut |row, held| {
            let limit = now_ms.saturating_add(longest_delay_ms(row.dialect, row.attempts));
            let limit = limit.max(held);
            if row.due_at_ms > limit {
                late.0.push(row.id);
                late.1.push(limit);
            }
        })?;
        if !late.0.is_empty() {
            self.transact("bring deliveries forward", |t| {
                let sql = "UPDATE webhooksd.pending k SET due_at = r.due_at
                    FROM unnest($1::bigint[], $2::bigint[]) AS r(id, due_at)
                   WHERE k.id = r.id AND k.due_at > r.due_at";
                t.execute(sql, &[ints(&late.0), ints(&late.1)])
            })?;
        }
        if more {
            self.clamp = pass;
        }
        Ok(Clamped {
            rows: late.0.len(),
            more,
        })
    }

    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        let sql = "SELECT name, least(held_until, $1) FROM webhooksd.webhook WHERE held_until IS NOT NULL";
        let longest_ms = now_ms.saturating_add(LONGEST_HOLD_MS);
        let step = "read until when endpoints asked to wait";
        let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        Ok(self
            .read(step, sql, &[int(&longest_ms)], of)?
            .into_iter()
            .collect())
    }

    fn changed(&mut self) -> Result<bool, Error> {
        let now = Some(self.of_others()?);
        let before = std::mem::replace(&mut self.others, now);
        Ok(before != self.others || !self.left_by_others()?.is_empty())
    }

    fn redelivered_since(&mut self, last_seen: i64) -> Result<(i64, Vec<String>), Error> {
        const STEP: &str = "look for redeliveries";
        let sql = "SELECT coalesce(max(id), 0) FROM webhooksd.redelivery";
        let newest = self.look(STEP, sql, &[], |row| row.try_get(0))?;
        let newest = newest.first().copied().unwrap_or(0).max(last_seen);
        let sql = "SELECT DISTINCT k.webhook FROM webhooksd.redelivery r
            JOIN webhooksd.pending k ON k.id = r.new_delivery_id WHERE r.id > $1 AND r.id <= $2";
        let after = last_seen.saturating_sub(LATE_REDELIVERIES);
        let values = [int(&after), int(&newest)];
        let mut names: Vec<String> = self.look(STEP, sql, &values, |row| row.try_get(0))?;
        names.extend(self.left_by_others()?);
        Ok((newest, names))
    }
}

impl Writer {
    /// What others have written, in a word.
    pub(super) fn of_others(&mut self) -> Result<String, Error> {
        let step = "look whether somebody else wrote";
        let found = self.look(step, OTHERS, &[], |row| row.try_get(0))?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Has whoever looks for what is pending find what memory may have let go of.
    pub(super) fn release_lost(&mut self) -> Result<(), Error> {
        if !self.lost.take() {
            return Ok(());
        }
        let (all, node) = (self.all_lost, self.node.id().to_owned());
        let ids = numbers(&self.hands);
        if !all && ids.is_empty() {
            return Ok(());
        }
        let released = self.transact("park deliveries", |t| {
            if all {
                return t.execute(RELEASE, &[word(&&*node)]);
            }
            let sql =
                "UPDATE webhooksd.pending SET in_hand = false WHERE id = ANY ($1) AND in_hand";
            t.execute(sql, &[ints(&ids)])
        });
        match released {
            Ok(_) => {
                self.hands.clear();
                self.all_lost = false;
                Ok(())
            }
            // It is told of again by the failure itself.
            Err(error) => Err(error),
        }
    }

    /// After a clock step: nobody is left alone for longer than may be from now.
    fn clamp_held(&mut self, now_ms: i64) -> Result<(), Error> {
        let longest_ms = now_ms.saturating_add(LONGEST_HOLD_MS);
        let sql = "SELECT EXISTS (SELECT FROM webhooksd.webhook WHERE held_until > $1)";
        let step = "read until when endpoints asked to wait";
        let any = self.look(step, sql, &[int(&longest_ms)], |row| row.try_get(0))?;
        if any.first() != Some(&true) {
            return Ok(());
        }
        self.transact("bring deliveries forward", |t| {
            let sql = "UPDATE webhooksd.webhook SET held_until = $1 WHERE held_until > $1";
            t.execute(sql, &[int(&longest_ms)]).map(drop)
        })
    }

    /// Shows `see` rows that are due later than now with until when their webhook is held, and moves the pass behind
    /// them. Whether there may be more.
    fn look_for_late(
        &mut self,
        pass: &mut ClampPass,
        now_ms: i64,
        max_rows: usize,
        see: &mut dyn FnMut(&Late, i64),
    ) -> Result<bool, Error> {
        const STEP: &str = "look for deliveries that are due too late";
        let mut left = max_rows.max(1);
        loop {
            if pass.at.is_none() {
                let before = pass.webhook.as_deref();
                let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
                let values = [super::values::maybe_word(&before)];
                let next = self.look(STEP, NEXT_WEBHOOK, &values, of)?;
                let Some((webhook, held_until_ms)) = next.into_iter().next() else {
                    return Ok(false);
                };
                *pass = ClampPass {
                    webhook: Some(webhook),
                    held_until_ms,
                    at: Some((now_ms.saturating_add(1), 0)),
                };
            }
            let (due_at, after) = pass.at.unwrap_or_default();
            let webhook = pass.webhook.as_deref().unwrap_or_default();
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            let values = [word(&webhook), int(&due_at), int(&after), int(&limit)];
            let rows = self.look(STEP, LATE, &values, late)?;
            for row in &rows {
                see(row, pass.held_until_ms.unwrap_or(i64::MIN));
            }
            if rows.len() == left {
                pass.at = rows.last().map(|row| (row.due_at_ms, row.id));
                return Ok(true);
            }
            pass.at = None;
            // A webhook without such a delivery costs as much as a row.
            left = left.saturating_sub(rows.len() + 1);
            if left == 0 {
                return Ok(true);
            }
        }
    }
}

/// A row that is due later than now.
struct Late {
    id: i64,
    due_at_ms: i64,
    dialect: Dialect,
    attempts: u32,
}

fn late(row: &Row) -> Read<Late> {
    let (attempts, dialect): (i32, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Late {
        id: row.try_get(0)?,
        due_at_ms: row.try_get(1)?,
        dialect: dialect
            .and_then(Dialect::from_name)
            .unwrap_or(Dialect::BoldCms),
        attempts: u32::try_from(attempts).unwrap_or_default(),
    })
}

fn id(row: &Row) -> Read<DeliveryId> {
    row.try_get(0).map(DeliveryId::new)
}

/// Ends pending deliveries without their being delivered.
fn end(
    t: &Transaction<'_>,
    ids: &[DeliveryId],
    state: &str,
    now_ms: i64,
) -> Result<usize, Trouble> {
    let numbers = numbers(ids);
    let values = [ints(&numbers), word(&state), int(&now_ms)];
    let ended = t.execute(END, &values)?;
    t.let_go(ids.iter().copied());
    Ok(usize::try_from(ended).unwrap_or(usize::MAX))
}
