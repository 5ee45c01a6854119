//! Streaks: webhooks of which every attempt fails, until they pause themselves; and how that ends.
//!
//! Facts of the log, written in the transaction that records the attempts, so that a restart counts on. Only
//! webhooks with `auto_pause` have a streak; the others cost a look into an empty set.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::model::{Attempt, Class, Verdict};

/// Failures in a row before which no webhook pauses itself: a quiet one may fail twice in a month.
pub(super) const LEAST_FAILURES: i64 = 20;

/// From a pause to the first try, and the longest from one try to the next; it doubles in between.
pub(super) const TRY_AFTER_MS: (i64, i64) = (60_000, 3_600_000);

/// Characters of the last error that a reason repeats.
const ERROR_CHARS: usize = 300;

/// What the writer knows of streaks.
#[derive(Debug, Default)]
pub(super) struct Streaks {
    /// The webhooks that pause themselves, and after how many milliseconds.
    pub(super) spans_ms: HashMap<Arc<str>, i64>,
    /// Those that may have a streak or have paused themselves; never fewer.
    pub(super) failing: HashSet<Arc<str>>,
    /// Whether a pause was made, put off or ended since it was asked last.
    pub(super) changed: bool,
}

impl Streaks {
    /// Whether an attempt of it is of any account here.
    pub(super) fn concerns(&self, attempt: &Attempt) -> bool {
        let name = &attempt.due.webhook;
        let fails = attempt.verdict != Verdict::Delivered && !is_the_proxy_s(attempt);
        self.failing.contains(name) || fails && self.spans_ms.contains_key(name)
    }

    /// Writes down what follows from an attempt that is recorded in this transaction. Where that fails all of
    /// it is asked again; what is noted here beforehand says too much then, and never too little.
    pub(super) fn note(&mut self, t: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
        let name = &attempt.due.webhook;
        if attempt.verdict == Verdict::Delivered {
            self.changed |= end(t, name)?;
            return Ok(());
        }
        self.failing.insert(name.clone());
        if put_off(t, attempt)? {
            self.changed = true;
            return Ok(());
        }
        if is_the_proxy_s(attempt) {
            return Ok(());
        }
        if let Some(span_ms) = self.spans_ms.get(name) {
            self.changed |= count(t, attempt, *span_ms)?;
        }
        Ok(())
    }
}

/// Whether a failure tells nothing of the endpoint, for the proxy before it failed.
pub(super) fn is_the_proxy_s(attempt: &Attempt) -> bool {
    attempt.exchange.class() == Some(Class::Proxy)
}

/// A success ends the streak, and the pause where the webhook paused itself. Whether there was such a pause.
fn end(t: &Transaction<'_>, webhook: &str) -> rusqlite::Result<bool> {
    let ended = t
        .prepare_cached(
            "DELETE FROM pause WHERE webhook = ?1 AND EXISTS (SELECT 1 FROM self_paused s WHERE s.webhook = ?1)",
        )?
        .execute([webhook])?;
    t.prepare_cached("DELETE FROM streak WHERE webhook = ?1")?
        .execute([webhook])?;
    Ok(ended > 0)
}

/// A try of a webhook that paused itself: the next comes after twice the time. Whether it was one; what was in
/// flight when it paused itself is none.
fn put_off(t: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<bool> {
    let tries: Option<u32> = t
        .prepare_cached(
            "UPDATE self_paused SET tries = tries + 1 WHERE webhook = ?1 AND next_at <= ?2 RETURNING tries",
        )?
        .query_row(params![attempt.due.webhook, attempt.started_at_ms], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(tries) = tries else { return Ok(false) };
    let next_ms = next_try_ms(attempt, tries);
    t.prepare_cached("UPDATE self_paused SET next_at = ?2 WHERE webhook = ?1")?
        .execute(params![attempt.due.webhook, next_ms])?;
    Ok(true)
}

/// When the next try may be after that one, the `tries`th.
pub(super) fn next_try_ms(attempt: &Attempt, tries: u32) -> i64 {
    let wait_ms = TRY_AFTER_MS
        .0
        .checked_shl(tries.min(32))
        .unwrap_or(i64::MAX);
    attempt.finished_at_ms + wait_ms.min(TRY_AFTER_MS.1)
}

/// Counts a failure. Whether it is the one at which the webhook pauses itself.
fn count(t: &Transaction<'_>, attempt: &Attempt, span_ms: i64) -> rusqlite::Result<bool> {
    let webhook = &attempt.due.webhook;
    let (since_ms, failures): (i64, i64) = t
        .prepare_cached(
            "INSERT INTO streak (webhook, since, failures) VALUES (?1, ?2, 1)
             ON CONFLICT (webhook) DO UPDATE SET failures = failures + 1, since = min(since, excluded.since)
             RETURNING since, failures",
        )?
        .query_row(params![webhook, attempt.started_at_ms], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let now_ms = attempt.finished_at_ms;
    if failures < LEAST_FAILURES || now_ms - since_ms < span_ms {
        return Ok(false);
    }
    // One that somebody else has paused stays so; one that has left the configuration has none.
    let paused = t
        .prepare_cached(
            "INSERT INTO pause (webhook, since, reason) SELECT ?1, ?2, ?3
              WHERE NOT EXISTS (SELECT 1 FROM pause WHERE webhook = ?1)
                AND EXISTS (SELECT 1 FROM webhook WHERE name = ?1 AND state <> 'removed')",
        )?
        .execute(params![
            webhook,
            now_ms,
            reason(attempt, (since_ms, failures))
        ])?;
    if paused == 0 {
        return Ok(false);
    }
    t.prepare_cached("INSERT INTO self_paused (webhook, tries, next_at) VALUES (?1, 0, ?2)")?
        .execute(params![webhook, now_ms + TRY_AFTER_MS.0])?;
    Ok(true)
}

pub(super) fn reason(attempt: &Attempt, (since_ms, failures): (i64, i64)) -> String {
    let since = crate::model::clock::utc(since_ms);
    let error = attempt.error.as_deref().unwrap_or("no success");
    let error: String = error.chars().take(ERROR_CHARS).collect();
    format!("auto_pause: all {failures} attempts since {since} failed, the last: {error}")
}
