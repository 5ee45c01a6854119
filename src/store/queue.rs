//! The queue: what is due, when the next is, cancelling, clock steps, and others' redeliveries.
//!
//! All of it stands on one index of the parked rows, by webhook and due time, so the cost goes by what
//! is asked for and never by how much waits. There is no state "in flight": the caller knows what it
//! has taken and passes over it. Limits and order between webhooks are the caller's.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};

use super::batch::Batches;
use super::books::webhook_id;
use super::faults::DoingWith as _;
use super::passes::ClampPass;
use super::turn::InHand;
use super::{Error, Store, held, rows, words};
use crate::model::{Batch, DeliveryId, Dialect, Due, HELD_MS, PayloadId};

/// Pending rows of a webhook that are due, in the order they are sent in, from the index alone.
pub(super) const DUE: &str = "SELECT id FROM parked INDEXED BY parked_due
  WHERE webhook_id = ?1 AND due_at <= ?2 ORDER BY due_at, id";

pub(super) const NEXT_DUE: &str = "SELECT due_at FROM parked INDEXED BY parked_due
  WHERE webhook_id = ?1 AND due_at > ?2 AND due_at < 9223372036854775807 ORDER BY due_at LIMIT 1";

pub(super) const NEXT_WEBHOOK: &str = "SELECT webhook_id FROM parked INDEXED BY parked_due
  WHERE webhook_id > ?1 ORDER BY webhook_id LIMIT 1";

const LOAD: &str = "SELECT p.event_id, p.event, p.dialect, k.origin, k.attempts, k.due_at, k.created_at, p.id, p.body,
  (SELECT m.id FROM payload_message m WHERE m.payload_id = p.id)
  FROM parked k JOIN payload p ON p.id = k.payload_id WHERE k.id = ?1";

/// Ends some of what is pending: `?2` is the state, `?3` the time.
const END: &str = "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
  SELECT id, webhook_id, payload_id, origin, ?2, attempts, created_at, ?3 FROM parked WHERE id = ?1";

/// One chunk of the pass of [`Store::clamp_due`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clamped {
    /// Deliveries that are due earlier now.
    pub rows: usize,
    /// Whether the pass goes on; call again until it does not.
    pub more: bool,
}

impl Store {
    /// The pending deliveries of a webhook that are due by now, in the order of their due times and
    /// ids, without those that `skip` names (their bodies are not loaded). At most `max_rows`, and
    /// none after those whose bodies reach `max_bytes` together; fewer than either are all there are.
    ///
    /// A row that can't be sent any more, for somebody removed its body or wrote a word that is
    /// none, is failed on the way, so that it stops nobody.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn due(
        &mut self,
        webhook: &str,
        now_ms: i64,
        max_rows: usize,
        max_bytes: usize,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<Vec<Due>, Error> {
        const STEP: &str = "read due deliveries";
        self.park_lost()?;
        self.turns.at(now_ms);
        self.pass_turns_on(webhook, skip)?;
        let mut broken = Vec::new();
        let dues = read_due(
            &self.connection,
            webhook,
            now_ms,
            (max_rows, max_bytes),
            skip,
            &mut broken,
        )
        .doing_with(&self.faults, STEP)?;
        if !broken.is_empty() {
            let mut teller = self.own.teller();
            let mut turns = std::mem::take(&mut self.turns);
            let failed = self.transact_by_heart("fail unreadable deliveries", |t, books| {
                end(t, &broken, words::FAILED, now_ms)?;
                for id in &broken {
                    turns.fail(t, *id, webhook, now_ms)?;
                }
                match &mut teller {
                    Some(teller) => teller.unreadable(t, (books, &mut turns), &broken, now_ms),
                    None => Ok(()),
                }
            });
            self.turns = turns;
            failed?;
            self.own.told(teller);
            self.unreadable.append(&mut broken);
        }
        Ok(dues)
    }

    /// The deliveries that were given up since it was asked last because they can't be read.
    pub fn take_unreadable(&mut self) -> Vec<DeliveryId> {
        std::mem::take(&mut self.unreadable)
    }

    /// When the webhook's next pending delivery is due, or was, UNIX milliseconds.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn next_due(&mut self, webhook: &str) -> Result<Option<i64>, Error> {
        self.next_due_after(webhook, i64::MIN)
    }

    /// The same, of those due later than `after_ms`.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn next_due_after(&mut self, webhook: &str, after_ms: i64) -> Result<Option<i64>, Error> {
        self.park_lost()?;
        self.connection
            .prepare_cached(NEXT_DUE)
            .and_then(|mut s| {
                let Some(webhook_id) = webhook_id(&self.connection, webhook)? else {
                    return Ok(None);
                };
                s.query_row(params![webhook_id, after_ms], |row| row.get(0))
                    .optional()
            })
            .doing_with(&self.faults, "ask when the next delivery is due")
    }

    /// The names of the webhooks that have parked deliveries, in order: one seek each.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn pending_webhooks(&mut self) -> Result<Vec<String>, Error> {
        self.park_lost()?;
        let mut names = Vec::new();
        let mut last = 0;
        while let Some((id, name)) = pending_after(&self.connection, last)
            .doing_with(&self.faults, "list webhooks with pending deliveries")?
        {
            last = id;
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Cancels up to `max_rows` pending deliveries of a webhook, the oldest due first. Returns how
    /// many; fewer than `max_rows` means that none is left. What is `in_hand` keeps its turn until its attempt is over.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn cancel(
        &mut self,
        webhook: &str,
        max_rows: usize,
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<usize, Error> {
        self.park_lost()?;
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut turns = std::mem::take(&mut self.turns);
        turns.at(now_ms);
        let cancelled = self.transact("cancel deliveries", |t| {
            let Some(webhook_id) = webhook_id(t, webhook)? else {
                return Ok(0);
            };
            let ids: Vec<DeliveryId> = t
                .prepare_cached(
                    "SELECT id FROM parked INDEXED BY parked_due WHERE webhook_id = ?1
                      ORDER BY due_at LIMIT ?2",
                )?
                .query_map(params![webhook_id, limit], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let cancelled = end(t, &ids, words::CANCELLED, now_ms)?;
            for id in &ids {
                turns.cancel(t, *id, webhook, in_hand)?;
            }
            Ok(cancelled)
        });
        self.turns = turns;
        cancelled
    }

    /// After a clock step: whatever is due later than now + the longest delay that its dialect's
    /// schedule has after so many attempts, becomes due then, or when its endpoint may be tried again if that is
    /// later. Looks at no more than `max_rows`
    /// deliveries and webhooks a call, and only at those due later than now. A pass keeps its place
    /// between calls, so a step that comes during one needs another pass after it.
    ///
    /// # Errors
    /// The log can't be read or written; the next call begins the pass anew.
    pub fn clamp_due(
        &mut self,
        now_ms: i64,
        longest_delay_ms: &dyn Fn(Dialect, u32) -> i64,
        max_rows: usize,
    ) -> Result<Clamped, Error> {
        const STEP: &str = "look for deliveries that are due too late";
        if self.clamp.webhook.is_none() {
            // What is queued is in the index only once it is parked, and its due time is as wrong.
            self.lost.tell();
            self.clamp_held(now_ms)?;
        }
        self.park_lost()?;
        let mut left = max_rows.max(1);
        let mut late = Vec::new();
        let mut goes_on_at = std::mem::take(&mut self.clamp);
        let mut pass = || -> rusqlite::Result<bool> {
            loop {
                let webhook = match goes_on_at.webhook.take() {
                    Some(webhook) if goes_on_at.id > DeliveryId::NONE => webhook,
                    before => {
                        let before = before.unwrap_or_default();
                        let Some((next, _)) = pending_after(&self.connection, before)? else {
                            return Ok(false);
                        };
                        (goes_on_at.due_at, goes_on_at.id) =
                            (now_ms.saturating_add(1), DeliveryId::NONE);
                        next
                    }
                };
                goes_on_at.webhook = Some(webhook);
                let held = held::until(&self.connection, webhook)?.unwrap_or(i64::MIN);
                let seen = look(&self.connection, &mut goes_on_at, left, &mut |row| {
                    let limit = now_ms.saturating_add(longest_delay_ms(row.dialect, row.attempts));
                    let limit = limit.max(held);
                    if row.due_at > limit {
                        late.push((row.id, limit));
                    }
                })?;
                if seen == left {
                    return Ok(true);
                }
                goes_on_at.id = DeliveryId::NONE;
                // A webhook without such a delivery costs as much as a row.
                left = left.saturating_sub(seen + 1);
                if left == 0 {
                    return Ok(true);
                }
            }
        };
        let more = pass().doing_with(&self.faults, STEP)?;
        if !late.is_empty() {
            self.transact("bring deliveries forward", |t| {
                let mut update = t.prepare_cached("UPDATE parked SET due_at = ?2 WHERE id = ?1")?;
                late.iter()
                    .try_for_each(|(id, due_at)| update.execute(params![id, due_at]).map(drop))
            })?;
        }
        if more {
            self.clamp = goes_on_at;
        }
        Ok(Clamped {
            rows: late.len(),
            more,
        })
    }

    /// What `INSERT INTO redelivery` has made since the row `last_seen`: the newest row, and the
    /// webhooks that got deliveries.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn redelivered_since(&mut self, last_seen: i64) -> Result<(i64, Vec<String>), Error> {
        let read = || -> rusqlite::Result<(i64, Vec<String>)> {
            let newest = self
                .connection
                .prepare_cached("SELECT coalesce(max(id), 0) FROM redelivery")?
                .query_row([], |row| row.get::<_, i64>(0))?
                .max(last_seen);
            let mut statement = self.connection.prepare_cached(
                "SELECT DISTINCT n.name FROM redelivery r JOIN parked k ON k.id = r.new_delivery_id
                   JOIN webhook_name n ON n.id = k.webhook_id
                  WHERE r.id > ?1 AND r.id <= ?2",
            )?;
            let names = statement.query_map(params![last_seen, newest], |row| row.get(0))?;
            Ok((newest, names.collect::<rusqlite::Result<_>>()?))
        };
        read().doing_with(&self.faults, "look for redeliveries")
    }
}

fn read_due(
    connection: &Connection,
    webhook: &str,
    now_ms: i64,
    (max_rows, max_bytes): (usize, usize),
    skip: &dyn Fn(DeliveryId) -> bool,
    broken: &mut Vec<DeliveryId>,
) -> rusqlite::Result<Vec<Due>> {
    let name: Arc<str> = webhook.into();
    let Some(webhook_id) = webhook_id(connection, webhook)? else {
        return Ok(Vec::new());
    };
    let mut ids = connection.prepare_cached(DUE)?;
    let mut load = connection.prepare_cached(LOAD)?;
    let mut rows = ids.query(params![webhook_id, now_ms])?;
    let mut batches = Batches::look(connection)?;
    let mut dues = Vec::new();
    let mut bytes = 0_usize;
    while dues.len() < max_rows
        && bytes < max_bytes
        && let Some(row) = rows.next()?
    {
        let id = row.get(0)?;
        if skip(id) || batches.has(id) {
            continue;
        }
        // Where some of it waits for its turn, it does not go together any more.
        let is_whole = |members: &Vec<Due>| members.iter().all(|due| due.due_at_ms < HELD_MS);
        if let Some(batch) = batches.of(connection, id)?
            && let Some(members) = load_batch(&mut load, &batch, &name, skip)?.filter(is_whole)
        {
            batches.take(&batch.members);
            // A clock that was stepped may have brought some of them forward by more than others.
            if members.iter().all(|due| due.due_at_ms <= now_ms) {
                bytes += members.iter().map(|due| due.body.len()).sum::<usize>();
                dues.extend(members);
            }
            continue;
        }
        let Some(due) = load_due(&mut load, id, &name)? else {
            broken.push(id);
            continue;
        };
        bytes = bytes.saturating_add(due.body.len());
        dues.push(due);
    }
    Ok(dues)
}

/// The delivery, or `None` where it is not whole.
fn load_due(
    load: &mut CachedStatement<'_>,
    id: DeliveryId,
    webhook: &Arc<str>,
) -> rusqlite::Result<Option<Due>> {
    let mut rows = load.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let read = || {
        Some(Due {
            id,
            event_id: row.get(0).ok()?,
            event: row.get_ref(1).ok()?.as_str().ok()?.into(),
            webhook: webhook.clone(),
            dialect: words::dialect(row.get_ref(2).ok()?)?,
            origin: words::origin(row.get_ref(3).ok()?)?,
            attempts: row.get(4).ok()?,
            due_at_ms: row.get(5).ok()?,
            created_at_ms: row.get(6).ok()?,
            payload_id: row.get(7).ok()?,
            body: Bytes::copy_from_slice(row.get_ref(8).ok()?.as_bytes().ok()?),
            message: row.get_ref(9).ok()?.as_str_or_null().ok()?.map(Arc::from),
            batch: None,
        })
    };
    Ok(read())
}

/// All deliveries of a batch; `None` where not all of them are parked, whole, and in nobody's hands, or some were sent without the others meanwhile.
fn load_batch(
    load: &mut CachedStatement<'_>,
    batch: &Arc<Batch>,
    webhook: &Arc<str>,
    skip: &dyn Fn(DeliveryId) -> bool,
) -> rusqlite::Result<Option<Vec<Due>>> {
    let mut members: Vec<Due> = Vec::with_capacity(batch.members.len());
    for id in &batch.members {
        if skip(*id) {
            return Ok(None);
        }
        let Some(mut due) = load_due(load, *id, webhook)? else {
            return Ok(None);
        };
        let is_like = |other: &Due| other.attempts == due.attempts;
        if !members.first().is_none_or(is_like) {
            return Ok(None);
        }
        due.batch = Some(batch.clone());
        members.push(due);
    }
    Ok(Some(members))
}

/// The first webhook behind `id` that has a parked delivery: its id and its name.
fn pending_after(connection: &Connection, id: i64) -> rusqlite::Result<Option<(i64, String)>> {
    let next: Option<i64> = connection
        .prepare_cached(NEXT_WEBHOOK)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(id) = next else {
        return Ok(None);
    };
    connection
        .prepare_cached("SELECT name FROM webhook_name WHERE id = ?1")?
        .query_row([id], |row| Ok(Some((id, row.get(0)?))))
}

/// Ends parked deliveries without their being delivered.
fn end(
    t: &Transaction<'_>,
    ids: &[DeliveryId],
    state: i64,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let mut end = t.prepare_cached(END)?;
    for id in ids {
        end.execute(params![id, state, now_ms])?;
    }
    rows::delete(t, "parked", ids)
}

struct Late {
    id: DeliveryId,
    due_at: i64,
    dialect: Dialect,
    attempts: u32,
}

/// Shows `see` up to `max_rows` pending rows of the place's webhook behind the place, moves the
/// place behind them, and says how many there were.
fn look(
    connection: &Connection,
    goes_on_at: &mut ClampPass,
    max_rows: usize,
    see: &mut dyn FnMut(Late),
) -> rusqlite::Result<usize> {
    let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
    let mut dialects = connection.prepare_cached("SELECT dialect FROM payload WHERE id = ?1")?;
    let mut statement = connection.prepare_cached(
        "SELECT id, due_at, payload_id, attempts FROM parked INDEXED BY parked_due
          WHERE webhook_id = ?1 AND due_at >= ?2 AND (due_at > ?2 OR id > ?3) AND due_at < 9223372036854775807
          ORDER BY due_at, id LIMIT ?4",
    )?;
    let mut rows = statement.query(params![
        goes_on_at.webhook,
        goes_on_at.due_at,
        goes_on_at.id,
        limit
    ])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let late = Late {
            id: row.get(0)?,
            due_at: row.get(1)?,
            dialect: dialects
                .query_row([row.get::<_, PayloadId>(2)?], |row| {
                    Ok(words::dialect(row.get_ref(0)?))
                })
                .optional()?
                .flatten()
                .unwrap_or(Dialect::BoldCms),
            attempts: row.get(3)?,
        };
        (goes_on_at.due_at, goes_on_at.id) = (late.due_at, late.id);
        see(late);
        seen += 1;
    }
    Ok(seen)
}
