//! `[log] bodies = "failed"`: what was delivered leaves no body behind.
//!
//! It goes in the transaction that writes the success, so a crash leaves both or neither: the answers' of all attempts of
//! the delivery, and the request's where no other delivery of it is pending, owed, or ended without success. Its row
//! stays, for the attempts and their views have its event there. By default nothing of this runs.

use super::Transaction;
use super::values::ints;
use crate::model::{Attempt, Bodies, Verdict};
use crate::postgres::Trouble;
use crate::store::postgres::days::{among, since};

const FORGET_ANSWERS: &str = "UPDATE webhooksd.attempt SET response_body = NULL
    WHERE delivery_id = ANY ($1) AND response_body IS NOT NULL";

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
    let sql = format!("{FORGET_ANSWERS} AND {}", since(&ids));
    t.execute(&sql, &[ints(&ids)])?;
    let payloads: Vec<i64> = delivered().map(|a| a.due.payload_id.get()).collect();
    let sql = format!("{FORGET_REQUESTS} AND p.{}", among(&payloads));
    t.execute(&sql, &[ints(&payloads)]).map(drop)
}
