//! `[log] bodies = "failed"`: what was delivered leaves no body behind.
//!
//! It goes in the transaction that writes the success, so a crash leaves both or neither: the answers' of all attempts of
//! the delivery, and the request's where no other delivery of it is pending, owed, or ended without success. Its row
//! stays, for the attempts and their views have its event there. By default nothing of this runs.

use super::Transaction;
use super::values::{int, ints};
use crate::model::{Attempt, Bodies, Verdict};
use crate::postgres::Trouble;
use crate::store::postgres::days::first_day_of;

const FORGET_ANSWERS: &str = "UPDATE webhooksd.attempt SET response_body = NULL
    WHERE delivery_id = ANY ($1) AND response_body IS NOT NULL AND id > $2";

const FORGET_REQUESTS: &str =
    "UPDATE webhooksd.payload p SET body = NULL WHERE p.id = ANY ($1) AND p.body IS NOT NULL
    AND NOT EXISTS (SELECT FROM webhooksd.pending k WHERE k.payload_id = p.id)
    AND NOT EXISTS (SELECT FROM webhooksd.ended e WHERE e.payload_id = p.id)
    AND NOT EXISTS (SELECT FROM webhooksd.owed o WHERE o.payload_id = p.id)";

/// Whether the answer's body is written.
pub(super) fn keeps_answer(bodies: Bodies, attempt: &Attempt) -> bool {
    bodies == Bodies::All || attempt.verdict != Verdict::Delivered
}

/// Forgets the bodies of what these attempts delivered; behind all else of the transaction.
pub(super) fn forget(
    t: &Transaction<'_>,
    bodies: Bodies,
    attempts: &[Attempt],
) -> Result<(), Trouble> {
    if bodies == Bodies::All {
        return Ok(());
    }
    let delivered = || attempts.iter().filter(|a| a.verdict == Verdict::Delivered);
    let ids: Vec<i64> = delivered().map(|a| a.due.id.get()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let day = first_day_of(&ids);
    t.execute(FORGET_ANSWERS, &[ints(&ids), int(&day)])?;
    let payloads: Vec<i64> = delivered().map(|a| a.due.payload_id.get()).collect();
    t.execute(FORGET_REQUESTS, &[ints(&payloads)]).map(drop)
}
