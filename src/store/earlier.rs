//! What is pending in a log of the shape before comes over to today's, some rows at a time.
//!
//! A log may have millions of them, and their bodies: the daemon sends what has come over meanwhile. Each step is a
//! whole of its own, so a crash between two costs nothing. What came over is marked by a due time that never comes, and
//! so leaves the part of the index that is looked at; that all of it has is said by the index itself, which goes then.
//! In turns by webhook, so that none waits for the rows of another. Left out: what ended there, which stays until
//! retention takes it away (`retain`), and when a step is made (`transition`).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::books::webhook_id;
use super::passes::EarlierPass;

/// So many come over with the migration itself: some 50 ms, and nothing is left of most logs.
const AT_ONCE: usize = 5_000;

/// Webhooks of which nothing is left that one step passes by.
const PASSED_BY: usize = 1_000;

/// A row that came over. No look for what is due comes to it.
const OVER: i64 = i64::MAX;

const NEXT_WEBHOOK: &str = "SELECT webhook FROM old_delivery INDEXED BY delivery_pending
  WHERE state = 'pending' AND webhook > ?1 ORDER BY webhook LIMIT 1";

const NEXT: &str = "SELECT id, payload_id FROM old_delivery INDEXED BY delivery_pending
  WHERE state = 'pending' AND webhook = ?1 AND due_at < ?2 ORDER BY due_at LIMIT ?3";

/// A body may be there already, by another delivery of its event, and may have been let go of since.
const BODY: &str = "INSERT INTO payload (id, generation, event_id, event, dialect, size, body)
  SELECT p.id, p.generation, p.event_id, (SELECT d.event FROM old_delivery d WHERE d.id = ?2),
         CASE p.dialect WHEN 'bold-cms' THEN 0 WHEN 'bold-factory' THEN 1 WHEN 'openboxes-lift' THEN 2 ELSE p.dialect END,
         length(CAST(p.body AS BLOB)), p.body
    FROM old_payload p WHERE p.id = ?1
    ON CONFLICT (id) DO UPDATE SET body = excluded.body WHERE body IS NULL";

const ROW: &str =
    "INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
  SELECT id, ?2, payload_id,
         CASE origin WHEN 'redelivery' THEN 1 WHEN 'replay' THEN 2 WHEN 'test' THEN 3 ELSE 0 END,
         attempts, due_at, created_at
    FROM old_delivery WHERE id = ?1";

const MARK: &str = "UPDATE old_delivery SET due_at = ?2 WHERE id = ?1";

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The webhooks of which something came over.
    pub(super) webhooks: Vec<Arc<str>>,
    pub(super) rows: usize,
    /// Whether nothing is left, so that the views are made anew.
    pub(super) ended: bool,
}

/// Whether something may be pending in the shape before.
pub(super) fn is_pending(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT count(*) = 2 FROM sqlite_master WHERE name IN ('old_delivery', 'delivery_pending')",
        )?
        .query_row([], |row| row.get(0))
}

/// The first step, with the migration: all there is, where that is not much.
pub(super) fn begin(t: &Transaction<'_>) -> rusqlite::Result<()> {
    if !is_pending(t)? {
        return Ok(());
    }
    let mut pass = EarlierPass::default();
    let mut left = AT_ONCE;
    while left > 0 {
        let step = step(t, &mut pass, left)?;
        if step.ended {
            return Ok(());
        }
        left = left.saturating_sub(step.rows);
    }
    Ok(())
}

/// Brings up to `max_rows` over. The pass is where it was unless the transaction is committed: the caller sees to that.
pub(super) fn step(
    t: &Transaction<'_>,
    pass: &mut EarlierPass,
    max_rows: usize,
) -> rusqlite::Result<Step> {
    let mut done = Step::default();
    let mut names = t.prepare_cached(NEXT_WEBHOOK)?;
    for _ in 0..PASSED_BY {
        let next = names.query_row([&pass.webhook], |row| row.get::<_, String>(0));
        let Some(name) = next.optional()? else {
            if !pass.found {
                t.execute_batch("DROP INDEX delivery_pending")?;
                done.ended = true;
                return Ok(done);
            }
            *pass = EarlierPass::default();
            continue;
        };
        pass.webhook = name;
        let rows = come_over(t, &pass.webhook, max_rows - done.rows)?;
        if rows > 0 {
            pass.found = true;
            done.webhooks.push(pass.webhook.as_str().into());
            done.rows += rows;
        }
        if done.rows >= max_rows {
            break;
        }
    }
    Ok(done)
}

/// How many came over of that webhook, in the order of their due times.
fn come_over(t: &Transaction<'_>, webhook: &str, max_rows: usize) -> rusqlite::Result<usize> {
    let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
    let ids: Vec<(i64, i64)> = t
        .prepare_cached(NEXT)?
        .query_map(params![webhook, OVER, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    t.prepare_cached("INSERT OR IGNORE INTO webhook_name (name) VALUES (?1)")?
        .execute([webhook])?;
    let webhook_id = webhook_id(t, webhook)?;
    for (id, payload_id) in &ids {
        t.prepare_cached(BODY)?.execute([payload_id, id])?;
        t.prepare_cached(ROW)?.execute(params![id, webhook_id])?;
        t.prepare_cached(MARK)?.execute([*id, OVER])?;
    }
    Ok(ids.len())
}
