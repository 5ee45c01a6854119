//! Streaks: webhooks of which every attempt fails, until they pause themselves; and how that ends.
//!
//! What a streak is, and whom an attempt concerns, is said where SQLite's are kept (`store/streak.rs`).

use super::Transaction;
use super::values::{clean, int, word};
use crate::model::{Attempt, Verdict};
use crate::postgres::Trouble;
use crate::store::streak::{
    LEAST_FAILURES, Streaks, TRY_AFTER_MS, is_the_proxy_s, next_try_ms, reason,
};

/// Writes down what follows from an attempt that is recorded in this transaction. Where that fails all of it is asked
/// again; what is noted in memory beforehand says too much then, and never too little.
pub(super) fn note(
    streaks: &mut Streaks,
    t: &Transaction<'_>,
    attempt: &Attempt,
) -> Result<(), Trouble> {
    let name = &attempt.due.webhook;
    if attempt.verdict == Verdict::Delivered {
        streaks.changed |= end(t, name)?;
        return Ok(());
    }
    streaks.failing.insert(name.clone());
    if put_off(t, attempt)? {
        streaks.changed = true;
        return Ok(());
    }
    if is_the_proxy_s(attempt) {
        return Ok(());
    }
    if let Some(span_ms) = streaks.spans_ms.get(name) {
        streaks.changed |= count(t, attempt, *span_ms)?;
    }
    Ok(())
}

/// A success ends the streak, and the pause where the webhook paused itself. Whether there was such a pause.
fn end(t: &Transaction<'_>, webhook: &str) -> Result<bool, Trouble> {
    let sql = "DELETE FROM webhooksd.pause WHERE webhook = $1
        AND EXISTS (SELECT FROM webhooksd.self_paused s WHERE s.webhook = $1)";
    let ended = t.execute(sql, &[word(&webhook)])?;
    let sql = "DELETE FROM webhooksd.streak WHERE webhook = $1";
    t.execute(sql, &[word(&webhook)])?;
    Ok(ended > 0)
}

/// A try of a webhook that paused itself: the next comes after twice the time. Whether it was one; what was in
/// flight when it paused itself is none.
fn put_off(t: &Transaction<'_>, attempt: &Attempt) -> Result<bool, Trouble> {
    let webhook = &*attempt.due.webhook;
    let sql = "UPDATE webhooksd.self_paused SET tries = tries + 1 WHERE webhook = $1 AND next_at <= $2 RETURNING tries";
    let values = [word(&webhook), int(&attempt.started_at_ms)];
    let tries: Option<i64> = t.first(sql, &values, |row| row.try_get(0))?;
    let Some(tries) = tries else { return Ok(false) };
    let next_ms = next_try_ms(attempt, u32::try_from(tries).unwrap_or(u32::MAX));
    let sql = "UPDATE webhooksd.self_paused SET next_at = $2 WHERE webhook = $1";
    t.execute(sql, &[word(&webhook), int(&next_ms)])?;
    Ok(true)
}

/// Counts a failure. Whether it is the one at which the webhook pauses itself.
fn count(t: &Transaction<'_>, attempt: &Attempt, span_ms: i64) -> Result<bool, Trouble> {
    let webhook = &*attempt.due.webhook;
    let sql = "INSERT INTO webhooksd.streak AS s (webhook, since, failures) VALUES ($1, $2, 1)
        ON CONFLICT (webhook) DO UPDATE SET failures = s.failures + 1, since = least(s.since, excluded.since)
        RETURNING since, failures";
    let values = [word(&webhook), int(&attempt.started_at_ms)];
    let counted = t.first(sql, &values, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
    let (since_ms, failures): (i64, i64) = counted.unwrap_or_default();
    let now_ms = attempt.finished_at_ms;
    if failures < LEAST_FAILURES || now_ms - since_ms < span_ms {
        return Ok(false);
    }
    // One that somebody else has paused stays so; one that has left the configuration has none.
    let sql = "INSERT INTO webhooksd.pause (webhook, since, reason) SELECT $1, $2, $3
        WHERE NOT EXISTS (SELECT FROM webhooksd.pause WHERE webhook = $1)
          AND EXISTS (SELECT FROM webhooksd.webhook WHERE name = $1 AND state <> 'removed')";
    let why = reason(attempt, (since_ms, failures));
    let paused = t.execute(sql, &[word(&webhook), int(&now_ms), word(&&*clean(&why))])?;
    if paused == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO webhooksd.self_paused (webhook, tries, next_at) VALUES ($1, 0, $2)
        ON CONFLICT (webhook) DO UPDATE SET tries = 0, next_at = excluded.next_at";
    t.execute(sql, &[word(&webhook), int(&(now_ms + TRY_AFTER_MS.0))])?;
    Ok(true)
}
