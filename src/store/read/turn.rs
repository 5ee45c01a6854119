//! Whose turn it is where a delivery is held by the order of its webhook.

use rusqlite::{OptionalExtension as _, params};

use super::Reader;
use crate::model::{DeliveryId, HELD_MS};
use crate::store::Error;
use crate::store::error::Doing as _;

/// The delivery that holds another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldBy {
    /// Its id.
    pub id: DeliveryId,
    /// Its sends so far.
    pub attempts: u32,
    /// Since when it is given up, UNIX milliseconds; `None`: it is pending.
    pub failed_ms: Option<i64>,
}

/// What some webhook's order holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldOf {
    /// Its deliveries that wait for their turn, counted to a limit.
    pub count: i64,
    /// Those that were given up and hold others, counted to the same.
    pub holders: i64,
    /// The oldest of those, and since when.
    pub oldest: Option<(DeliveryId, i64)>,
}

/// What is counted at most, so that a look costs milliseconds whatever is held.
const COUNTED: i64 = 10_000;

impl Reader {
    /// What holds a delivery that waits for its turn; `None` where it does not wait for that.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn held_by(&self, id: DeliveryId) -> Result<Option<HeldBy>, Error> {
        let read = || {
            if !self.has_turns()? {
                return Ok(None);
            }
            self.connection
                .prepare_cached(
                    "SELECT h.delivery_id,
                            coalesce((SELECT attempts FROM parked WHERE id = h.delivery_id),
                                     (SELECT attempts FROM queued WHERE id = h.delivery_id),
                                     (SELECT attempts FROM ended WHERE id = h.delivery_id), 0),
                            CASE h.state WHEN 1 THEN h.since END
                       FROM parked k JOIN turn t ON t.delivery_id = k.id
                       JOIN turn h ON h.delivery_id = (SELECT min(u.delivery_id) FROM turn u
                             WHERE u.webhook_id = t.webhook_id AND u.value = t.value)
                      WHERE k.id = ?1 AND k.due_at = ?2 AND h.delivery_id <> ?1",
                )?
                .query_row(params![id, HELD_MS], |row| {
                    Ok(HeldBy {
                        id: row.get(0)?,
                        attempts: row.get(1)?,
                        failed_ms: row.get(2)?,
                    })
                })
                .optional()
        };
        read().doing("look whose turn it is")
    }

    /// What the order of a webhook holds back; `None` where that is nothing.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn held_of(&self, webhook: &str) -> Result<Option<HeldOf>, Error> {
        let read = || -> rusqlite::Result<Option<HeldOf>> {
            if !self.has_turns()? {
                return Ok(None);
            }
            let of = |sql: &str| -> rusqlite::Result<i64> {
                self.connection
                    .prepare_cached(sql)?
                    .query_row(params![webhook, HELD_MS, COUNTED], |row| row.get(0))
            };
            let count = of(
                "SELECT count(*) FROM (SELECT 1 FROM parked INDEXED BY parked_due
                   WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) AND due_at = ?2 LIMIT ?3)",
            )?;
            let holders = of(
                "SELECT count(*) FROM (SELECT 1 FROM turn INDEXED BY turn_marked
                   WHERE state = 1 AND webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) AND ?2 = ?2 LIMIT ?3)",
            )?;
            let oldest = self
                .connection
                .prepare_cached(
                    "SELECT delivery_id, since FROM (SELECT delivery_id, since FROM turn INDEXED BY turn_marked
                       WHERE state = 1 AND webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) LIMIT ?2)
                      ORDER BY since, delivery_id LIMIT 1",
                )?
                .query_row(params![webhook, COUNTED], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let is_any = count > 0 || holders > 0;
            Ok(is_any.then_some(HeldOf {
                count,
                holders,
                oldest,
            }))
        };
        read().doing("look what is held")
    }

    /// Whether there are any; a log of an earlier shape knows of none.
    fn has_turns(&self) -> rusqlite::Result<bool> {
        let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'turn')";
        let asked = |sql| -> rusqlite::Result<bool> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row([], |row| row.get(0))
        };
        Ok(asked(is_there)? && asked("SELECT EXISTS (SELECT 1 FROM turn)")?)
    }
}
