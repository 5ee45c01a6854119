//! Until when endpoints asked that their webhooks are not tried: a row for each that ever did.
//!
//! Written with the attempts whose answers asked for it, so that a restart knows of it. Left out: what is an answer
//! that asks (`dialect`), and who waits (`pipeline/send`).

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::books::Books;
use super::error::Doing as _;
use super::{Error, Store};
use crate::dialect::LONGEST_HOLD_MS;
use crate::model::Attempt;

const NOTE: &str = "INSERT INTO retry_after (webhook_id, until) VALUES (?1, ?2)
  ON CONFLICT (webhook_id) DO UPDATE SET until = max(until, excluded.until)";

/// `?2` is the latest that is waited for.
const HELD: &str = "SELECT n.name, min(r.until, ?2)
   FROM retry_after r JOIN webhook_name n ON n.id = r.webhook_id WHERE r.until > ?1";

impl Store {
    /// Until when webhooks are not to be tried, UNIX milliseconds, by name. Those whose time is over are among
    /// them: it may come again, by a clock that is set back.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        held(&self.connection, i64::MIN, now_ms).doing(STEP)
    }

    /// After a clock step: nobody is left alone for longer than may be from now.
    pub(super) fn clamp_held(&mut self, now_ms: i64) -> Result<(), Error> {
        let longest_ms = longest_ms(now_ms);
        let any: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM retry_after WHERE until > ?1)")
            .and_then(|mut s| s.query_row([longest_ms], |row| row.get(0)))
            .doing(STEP)?;
        if !any {
            return Ok(());
        }
        self.transact("bring deliveries forward", |t| {
            t.prepare_cached("UPDATE retry_after SET until = ?1 WHERE until > ?1")?
                .execute([longest_ms])
                .map(drop)
        })
    }
}

pub(super) const STEP: &str = "read until when endpoints asked to wait";

/// What [`Store::held`] says, of times after that.
pub(super) fn held(
    connection: &Connection,
    after_ms: i64,
    now_ms: i64,
) -> rusqlite::Result<HashMap<String, i64>> {
    connection
        .prepare_cached(HELD)?
        .query_map([after_ms, longest_ms(now_ms)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

fn longest_ms(now_ms: i64) -> i64 {
    now_ms.saturating_add(LONGEST_HOLD_MS)
}

/// Until when that webhook is not to be tried; may be over.
pub(super) fn until(connection: &Connection, webhook_id: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT until FROM retry_after WHERE webhook_id = ?1")?
        .query_row([webhook_id], |row| row.get(0))
        .optional()
}

/// Writes down what the answers asked for.
pub(super) fn note(
    t: &Transaction<'_>,
    books: &mut Books,
    attempts: &[Attempt],
) -> rusqlite::Result<()> {
    for attempt in attempts {
        if let Some(until_ms) = attempt.held_until_ms {
            let webhook_id = books.webhook(t, &attempt.due.webhook)?;
            t.prepare_cached(NOTE)?
                .execute(params![webhook_id, until_ms])?;
        }
    }
    Ok(())
}
