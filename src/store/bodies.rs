//! `[log] bodies = "failed"`: what was delivered leaves no body behind.
//!
//! It goes in the transaction that writes the success, so a crash leaves both or neither: the answers'
//! of all attempts of the delivery, and the request's where no other delivery of it is pending, owed, or
//! ended without success. Its row stays, for the attempts and their views have its size and event there.
//! What is pending needs its body, so that is always written first. By default nothing of this runs.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Transaction;

use super::{Store, rows, schema};
use crate::model::{Attempt, Bodies, DeliveryId, PayloadId, Verdict};

/// What is queued has no index and is read once for a transaction.
const FORGET_REQUEST: &str = "UPDATE payload SET body = NULL WHERE id = ?1 AND body IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM parked k WHERE k.payload_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.payload_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM owed o WHERE o.payload_id = ?1)";

const FORGET_ANSWERS: &str =
    "UPDATE attempt SET response_body = NULL WHERE delivery_id = ?1 AND response_body IS NOT NULL";

impl Store {
    /// Whose bodies stay, from the next attempts on that are recorded.
    pub fn keep_bodies(&mut self, bodies: Bodies) {
        self.bodies = bodies;
    }
}

/// Whether an ended delivery can be sent again, as the trigger asks.
pub(super) fn is_kept(t: &Transaction<'_>, id: DeliveryId) -> rusqlite::Result<bool> {
    const NOT_KEPT: &str =
        "SELECT EXISTS (SELECT 1 FROM delivery d JOIN payload p ON p.id = d.payload_id
                      WHERE d.id = ?1 AND p.body IS NULL)";
    const EARLIER: &str =
        "SELECT EXISTS (SELECT 1 FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id
                      WHERE d.id = ?1 AND p.body IS NOT NULL)";
    let ask = |sql| -> rusqlite::Result<bool> {
        t.prepare_cached(sql)?.query_row([id], |row| row.get(0))
    };
    Ok(!ask(NOT_KEPT)? || (schema::has_earlier(t)? && ask(EARLIER)?))
}

/// Whether the answer's body is written.
pub(super) fn keeps_answer(bodies: Bodies, attempt: &Attempt) -> bool {
    bodies == Bodies::All || attempt.verdict != Verdict::Delivered
}

/// Forgets the bodies of what these attempts delivered; behind all else of the transaction.
pub(super) fn forget(
    t: &Transaction<'_>,
    bodies: Bodies,
    attempts: &[Attempt],
) -> rusqlite::Result<()> {
    if bodies == Bodies::All {
        return Ok(());
    }
    let delivered = || {
        let all = attempts.iter();
        all.filter(|attempt| attempt.verdict == Verdict::Delivered)
    };
    let mut answers = t.prepare_cached(FORGET_ANSWERS)?;
    // Attempts of one batch may be of one delivery, whatever their numbers.
    let mut several = BTreeSet::<DeliveryId>::new();
    // One that was split off counts from the first again, also where it goes by itself now.
    let any_posts: bool = t
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM posted)")?
        .query_row([], |row| row.get(0))?;
    let has_more = |a: &&Attempt| a.number > 1 || any_posts;
    several.extend(delivered().filter(has_more).map(|a| a.due.id));
    for id in several {
        answers.execute([id])?;
    }
    let payloads: BTreeSet<PayloadId> = delivered().map(|a| a.due.payload_id).collect();
    if payloads.is_empty() {
        return Ok(());
    }
    let queued: HashSet<PayloadId> = rows::ids(t, "SELECT payload_id FROM queued")?;
    let mut request = t.prepare_cached(FORGET_REQUEST)?;
    for id in payloads.iter().filter(|id| !queued.contains(id)) {
        request.execute([id])?;
    }
    Ok(())
}
