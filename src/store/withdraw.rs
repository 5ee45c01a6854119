//! Cancelling by order: what is pending ends, because somebody asked for it.
//!
//! A call of [`Store`] ends a chunk that the caller chose, by ids, whatever table they are in. To list what
//! there is to cancel is the [`Reader`]'s, by pages of the index of what is due, so that a search through
//! a million rows never holds the writer. What the process has in hand is the caller's to let go of.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::error::Doing;
use super::turn::{InHand, Turns};
use super::{Error, Reader, Store, holder, rows};
use crate::model::{DeliveryId, TimeWindow};

/// Why a delivery is not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelError {
    /// No delivery has that id.
    Unknown,
    /// It has come to its end.
    Ended,
    /// It has come to its end, and was sent again for that one, which was given up and holds its line.
    Again(DeliveryId),
}

/// What an order to cancel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// It was pending, and has ended.
    Cancelled,
    /// It was given up and held its line: that goes on, and it stays failed.
    LetGo,
}

/// What was done, and the webhook; or why it was not.
pub(crate) type Cancelled = Result<(String, Withdrawal), CancelError>;

/// Of what is pending in one table: it has ended, by order.
const END: [&str; 2] = [
    "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at, reason)
     SELECT id, webhook_id, payload_id, origin, 1, attempts, created_at, ?2, 1 FROM queued WHERE id = ?1",
    "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at, reason)
     SELECT id, webhook_id, payload_id, origin, 1, attempts, created_at, ?2, 1 FROM parked WHERE id = ?1",
];

/// Pending deliveries of a webhook, made within a window, up to an id; tests are none. From their end, so that
/// what waits for its turn goes before the one whose turn it is: the parked ones by their due times, then the
/// queued ones by their ids.
const PENDING: [&str; 2] = [
    "FROM parked INDEXED BY parked_due WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1)
      AND due_at <= ?5 AND (due_at < ?5 OR id < ?6)
      AND id <= ?2 AND created_at >= ?3 AND created_at < ?4 AND origin <> 3",
    "FROM queued WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1)
      AND id < ?6 AND ?5 = ?5 AND id <= ?2 AND created_at >= ?3 AND created_at < ?4 AND origin <> 3",
];

/// Where a list of what is pending goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingPage {
    /// Behind the parked ones.
    pub(super) queued: bool,
    pub(super) due_at: i64,
    pub(super) id: DeliveryId,
}

impl Default for PendingPage {
    fn default() -> Self {
        Self {
            queued: false,
            due_at: i64::MAX,
            id: DeliveryId::new(i64::MAX),
        }
    }
}

impl Store {
    /// Cancels deliveries because somebody asked for it. One that was given up and holds an order lets go of it, and
    /// stays failed. What is `in_hand` keeps its turn until its attempt is over. The answers are in the order of the ids.
    ///
    /// # Errors
    /// The log can't be written: then none was.
    pub fn cancel_by_order(
        &mut self,
        ids: &[DeliveryId],
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<Vec<Cancelled>, Error> {
        let mut turns = std::mem::take(&mut self.turns);
        turns.at(now_ms);
        // From the end, so that nobody's turn comes that is to be cancelled too.
        let mut places: Vec<usize> = (0..ids.len()).collect();
        places.sort_by_key(|place| std::cmp::Reverse(ids[*place]));
        let cancelled = self.transact("cancel by order", |t| {
            let mut answers = vec![Err(CancelError::Unknown); ids.len()];
            for place in &places {
                answers[*place] = cancel(t, (&mut turns, in_hand), ids[*place], now_ms)?;
            }
            Ok(answers)
        });
        self.turns = turns;
        cancelled
    }
}

fn cancel(
    t: &Transaction<'_>,
    (turns, in_hand): (&mut Turns, InHand<'_>),
    id: DeliveryId,
    now_ms: i64,
) -> rusqlite::Result<Cancelled> {
    for (table, sql) in ["queued", "parked"].into_iter().zip(END) {
        if t.prepare_cached(sql)?.execute(params![id, now_ms])? == 0 {
            continue;
        }
        rows::delete(t, table, &[id])?;
        let webhook: String = t
            .prepare_cached(
                "SELECT n.name FROM ended e JOIN webhook_name n ON n.id = e.webhook_id WHERE e.id = ?1",
            )?
            .query_row([id], |row| row.get(0))?;
        turns.cancel(t, id, &webhook, in_hand)?;
        return Ok(Ok((webhook, Withdrawal::Cancelled)));
    }
    if let Some(webhook) = turns.let_go(t, id)? {
        return Ok(Ok((webhook, Withdrawal::LetGo)));
    }
    if let Some(holder) = holder::holder(t, id)? {
        return Ok(Err(CancelError::Again(holder)));
    }
    let known = t
        .prepare_cached("SELECT 1 FROM delivery WHERE id = ?1")?
        .query_row([id], |_| Ok(()))
        .optional()?;
    Ok(Err(match known {
        Some(()) => CancelError::Ended,
        None => CancelError::Unknown,
    }))
}

impl Reader {
    /// The next page of a webhook's pending deliveries that were made within `window`, up to that id; none at the
    /// end. What moves meanwhile may be missed or come twice: list anew until nothing comes.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn pending_page(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
        page: &mut PendingPage,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        let mut read = || -> rusqlite::Result<Vec<DeliveryId>> {
            let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
            loop {
                let (from, order) = match page.queued {
                    false => (PENDING[0], "due_at DESC, id DESC"),
                    true => (PENDING[1], "id DESC"),
                };
                let sql = format!("SELECT id, due_at {from} ORDER BY {order} LIMIT ?7");
                let (from_ms, to_ms) = (window.from_ms, window.to_ms);
                let mut statement = self.connection.prepare_cached(&sql)?;
                let place = (page.due_at, page.id);
                let mut found = statement.query(params![
                    webhook, up_to, from_ms, to_ms, place.0, place.1, limit
                ])?;
                let mut ids = Vec::new();
                while let Some(row) = found.next()? {
                    ids.push(row.get(0)?);
                    (page.id, page.due_at) = (row.get(0)?, row.get(1)?);
                }
                if !ids.is_empty() || page.queued {
                    return Ok(ids);
                }
                *page = PendingPage {
                    queued: true,
                    ..PendingPage::default()
                };
            }
        };
        read().doing("list what can be cancelled")
    }

    /// How many there are to list.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn count_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        let count = || -> rusqlite::Result<i64> {
            let snapshot = self.connection.unchecked_transaction()?;
            let (all, mut count) = (PendingPage::default(), 0);
            for from in PENDING {
                let (from_ms, to_ms) = (window.from_ms, window.to_ms);
                count += snapshot
                    .prepare_cached(&format!("SELECT count(*) {from}"))?
                    .query_row(
                        params![webhook, up_to, from_ms, to_ms, all.due_at, all.id],
                        |row| row.get::<_, i64>(0),
                    )?;
            }
            Ok(count)
        };
        count().doing("count what can be cancelled")
    }
}
