//! How much is pending: exactly by webhook, or up to a limit where it is asked for every few seconds.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Reader;
use crate::model::DeliveryId;
use crate::store::error::Doing;
use crate::store::{Error, earlier};

/// So many pending deliveries are counted where there is a limit, some 5 ms.
const COUNTED: i64 = 100_000;

/// A count that stops at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// As many as were counted.
    pub count: i64,
    /// Whether there are more.
    pub more: bool,
}

impl Count {
    /// Out of what a query counted that looked at one more than the limit.
    fn up_to_limit(counted: i64) -> Self {
        Self {
            count: counted.min(COUNTED),
            more: counted > COUNTED,
        }
    }
}

impl Reader {
    /// How many deliveries are pending, for each webhook that has some. Takes as long as there are
    /// many of them.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn pending(&self) -> Result<Vec<(String, i64)>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, i64)>> {
            let snapshot = self.connection.unchecked_transaction()?;
            let earlier = of_earlier(&snapshot, EARLIER_BY_WEBHOOK)?;
            snapshot
                .prepare_cached(&format!(
                    "SELECT name, sum(count) FROM (
                       SELECT n.name, p.count FROM (
                         SELECT webhook_id, count(*) AS count FROM queued GROUP BY webhook_id
                         UNION ALL SELECT webhook_id, count(*) FROM parked GROUP BY webhook_id)
                          p JOIN webhook_name n ON n.id = p.webhook_id {earlier}) GROUP BY name ORDER BY name",
                ))?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().doing(STEP)
    }

    /// How many are pending in all, up to the limit.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn pending_in_all(&self) -> Result<Count, Error> {
        let read = || {
            let snapshot = self.connection.unchecked_transaction()?;
            let earlier = of_earlier(&snapshot, EARLIER)?;
            snapshot
                .prepare_cached(&format!(
                    "SELECT count(*) FROM (SELECT 1 FROM queued UNION ALL SELECT 1 FROM parked {earlier} LIMIT ?1)",
                ))?
                .query_row([COUNTED + 1], |row| row.get(0))
        };
        Ok(Count::up_to_limit(read().doing(STEP)?))
    }

    /// How many of a webhook are due before this delivery, which is due then; up to the limit.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn pending_before(
        &self,
        webhook: &str,
        due_at_ms: i64,
        id: DeliveryId,
    ) -> Result<Count, Error> {
        // What is queued is never much, and has no index.
        const BEFORE: &str = "WITH w AS (SELECT id FROM webhook_name WHERE name = ?1)
          SELECT count(*) FROM (
            SELECT 1 FROM queued WHERE webhook_id = (SELECT id FROM w) AND (due_at, id) < (?2, ?3)
            UNION ALL
            SELECT 1 FROM parked INDEXED BY parked_due
             WHERE webhook_id = (SELECT id FROM w) AND due_at <= ?2 AND (due_at, id) < (?2, ?3)
             LIMIT ?4)";
        let read = || {
            self.connection
                .prepare_cached(BEFORE)?
                .query_row(params![webhook, due_at_ms, id, COUNTED + 1], |row| {
                    row.get(0)
                })
        };
        Ok(Count::up_to_limit(read().doing(STEP)?))
    }

    /// How many of each webhook are in memory's hands: never many.
    pub(super) fn queued(&self) -> Result<HashMap<String, i64>, Error> {
        let read = || -> rusqlite::Result<HashMap<String, i64>> {
            self.connection
                .prepare_cached(
                    "SELECT n.name, q.count FROM (
                       SELECT webhook_id, count(*) AS count FROM queued GROUP BY webhook_id) q
                       JOIN webhook_name n ON n.id = q.webhook_id",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().doing(STEP)
    }

    /// How many of a webhook are pending, up to the limit, with those in memory's hands.
    pub(super) fn pending_of(&self, webhook: &str, queued: i64) -> Result<Count, Error> {
        let read = || {
            let snapshot = self.connection.unchecked_transaction()?;
            let earlier = of_earlier(&snapshot, EARLIER_OF_ONE)?;
            snapshot
                .prepare_cached(&format!(
                    "SELECT count(*) FROM (SELECT 1 FROM parked
                      WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) {earlier} LIMIT ?2)",
                ))?
                .query_row(params![webhook, COUNTED + 1], |row| row.get::<_, i64>(0))
        };
        Ok(Count::up_to_limit(read().doing(STEP)? + queued))
    }
}

const STEP: &str = "count pending deliveries";

/// What has not come over from the shape before.
const EARLIER: &str =
    "UNION ALL SELECT 1 FROM old_delivery WHERE state = 'pending' AND due_at < 9223372036854775807";
const EARLIER_OF_ONE: &str = "UNION ALL SELECT 1 FROM old_delivery WHERE state = 'pending' AND webhook = ?1 AND due_at < 9223372036854775807";
const EARLIER_BY_WEBHOOK: &str =
    "UNION ALL SELECT webhook, count(*) FROM old_delivery WHERE state = 'pending' AND due_at < 9223372036854775807
      GROUP BY webhook";

/// That part of a query, where there is something that it may find.
fn of_earlier(connection: &Connection, part: &'static str) -> rusqlite::Result<&'static str> {
    Ok(if earlier::is_pending(connection)? {
        part
    } else {
        ""
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_that_there_are_more_than_it_counted() {
        let of = |count, more| Count { count, more };
        assert_eq!(Count::up_to_limit(0), of(0, false));
        assert_eq!(Count::up_to_limit(COUNTED), of(COUNTED, false));
        assert_eq!(Count::up_to_limit(COUNTED + 1), of(COUNTED, true));
    }
}
