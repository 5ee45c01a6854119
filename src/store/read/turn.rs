//! Whose turn it is where a delivery is held by the order of its webhook.

use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use super::{Count, Reader};
use crate::model::{DeliveryId, EventId, HELD_MS};
use crate::store::Error;
use crate::store::error::Doing as _;
use crate::store::turn::LEAVES;

/// The delivery that holds another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldBy {
    /// Its id.
    pub id: DeliveryId,
    /// Its event.
    pub event_id: Option<EventId>,
    /// Its sends so far.
    pub attempts: u32,
    /// Why it holds.
    pub why: Holder,
}

/// Why a delivery holds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It is pending, and due at that UNIX millisecond.
    Pending(Option<i64>),
    /// It is given up, since that UNIX millisecond.
    Failed(i64),
    /// It was cancelled while its attempt was under way, which is waited for.
    Leaves,
}

/// What some webhook's order holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldOf {
    /// Its deliveries that wait for their turn, counted to a limit.
    pub count: Count,
    /// Those that were given up and hold their lines; `None` where there are none.
    pub holding: Option<Holding>,
}

/// What was given up and holds its line, of one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    /// How many, counted to a limit.
    pub count: Count,
    /// The oldest of them.
    pub oldest: DeliveryId,
    /// Since when that is, UNIX milliseconds.
    pub since_ms: i64,
}

/// What is counted at most, so that a look costs milliseconds whatever is held.
const COUNTED: i64 = 10_000;

/// The webhooks of which something was given up and holds its line, by one look at the index for each.
const HOLDING: &str = "WITH RECURSIVE w (id) AS (
    SELECT min(webhook_id) FROM turn INDEXED BY turn_marked WHERE state = 1
    UNION ALL
    SELECT (SELECT min(t.webhook_id) FROM turn t INDEXED BY turn_marked WHERE t.state = 1 AND t.webhook_id > w.id)
      FROM w WHERE w.id IS NOT NULL)
  SELECT n.name FROM w JOIN webhook_name n ON n.id = w.id";

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
                            h.state, h.since, (SELECT event_id FROM delivery WHERE id = h.delivery_id),
                            (SELECT due_at FROM delivery WHERE id = h.delivery_id)
                       FROM parked k JOIN turn t ON t.delivery_id = k.id
                       JOIN turn h ON h.delivery_id = (SELECT min(u.delivery_id) FROM turn u
                             WHERE u.webhook_id = t.webhook_id AND u.value = t.value)
                      WHERE k.id = ?1 AND k.due_at = ?2 AND h.delivery_id <> ?1",
                )?
                .query_row(params![id, HELD_MS], |row| {
                    Ok(HeldBy {
                        id: row.get(0)?,
                        attempts: row.get(1)?,
                        event_id: row.get(4)?,
                        why: match row.get::<_, Option<i64>>(2)? {
                            None => Holder::Pending(row.get(5)?),
                            Some(LEAVES) => Holder::Leaves,
                            Some(_) => Holder::Failed(row.get::<_, Option<i64>>(3)?.unwrap_or_default()),
                        },
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
            let count = self
                .connection
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM parked INDEXED BY parked_due
                       WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) AND due_at = ?2 LIMIT ?3)",
                )?
                .query_row(params![webhook, HELD_MS, COUNTED + 1], |row| row.get(0))
                .map(counted)?;
            let holding = self.holding_of(webhook)?;
            let is_any = count.count > 0 || holding.is_some();
            Ok(is_any.then_some(HeldOf { count, holding }))
        };
        read().doing("look what is held")
    }

    /// What was given up and holds its line, by webhook.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn holding(&self) -> Result<Vec<(String, Holding)>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, Holding)>> {
            if !self.has_turns()? {
                return Ok(Vec::new());
            }
            let mut names = self.connection.prepare_cached(HOLDING)?;
            let names = names.query_map([], |row| row.get(0))?;
            let mut all = Vec::new();
            for name in names {
                let name: String = name?;
                if let Some(holding) = self.holding_of(&name)? {
                    all.push((name, holding));
                }
            }
            Ok(all)
        };
        read().doing("look what holds its line")
    }

    /// The webhooks of which something was given up and holds its line.
    pub(super) fn holding_names(&self) -> Result<HashSet<String>, Error> {
        let read = || -> rusqlite::Result<HashSet<String>> {
            if !self.has_turns()? {
                return Ok(HashSet::new());
            }
            let mut names = self.connection.prepare_cached(HOLDING)?;
            names.query_map([], |row| row.get(0))?.collect()
        };
        read().doing("look which webhooks hold a line")
    }

    fn holding_of(&self, webhook: &str) -> rusqlite::Result<Option<Holding>> {
        self.connection
            .prepare_cached(
                "SELECT count(*) OVER (), delivery_id, since FROM (SELECT delivery_id, since FROM turn INDEXED BY turn_marked
                   WHERE state = 1 AND webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) LIMIT ?2)
                  ORDER BY since, delivery_id LIMIT 1",
            )?
            .query_row(params![webhook, COUNTED + 1], |row| {
                Ok(Holding {
                    count: counted(row.get(0)?),
                    oldest: row.get(1)?,
                    since_ms: row.get::<_, Option<i64>>(2)?.unwrap_or_default(),
                })
            })
            .optional()
    }

    /// How many deliveries wait behind one that was given up and holds its line; `None` where it holds none.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn behind(&self, id: DeliveryId) -> Result<Option<Count>, Error> {
        let read = || {
            if !self.has_turns()? {
                return Ok(None);
            }
            self.connection
                .prepare_cached(
                    "SELECT (SELECT count(*) FROM (SELECT 1 FROM turn t INDEXED BY turn_of_value
                               WHERE t.webhook_id = h.webhook_id AND t.value = h.value AND t.delivery_id > h.delivery_id
                               LIMIT ?2))
                       FROM turn h WHERE h.delivery_id = ?1 AND h.state = 1",
                )?
                .query_row(params![id, COUNTED + 1], |row| row.get(0).map(counted))
                .optional()
        };
        read().doing("look what is behind a delivery")
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

/// Out of what a query counted that looked at one more than the limit.
fn counted(count: i64) -> Count {
    Count {
        count: count.min(COUNTED),
        more: count > COUNTED,
    }
}
