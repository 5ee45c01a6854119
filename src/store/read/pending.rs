//! How much is pending: exactly by webhook, or up to a limit where it is asked for every few seconds.

use rusqlite::params;

use super::Reader;
use crate::store::Error;
use crate::store::error::Doing;

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
            self.connection
                .prepare_cached(
                    "SELECT webhook, count(*) FROM delivery WHERE state = 'pending' GROUP BY webhook",
                )?
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
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'pending' LIMIT ?1)",
                )?
                .query_row([COUNTED + 1], |row| row.get(0))
        };
        Ok(Count::up_to_limit(read().doing(STEP)?))
    }

    /// How many of a webhook are pending, up to the limit.
    pub(super) fn pending_of(&self, webhook: &str) -> Result<Count, Error> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM delivery
                      WHERE state = 'pending' AND webhook = ?1 LIMIT ?2)",
                )?
                .query_row(params![webhook, COUNTED + 1], |row| row.get(0))
        };
        Ok(Count::up_to_limit(read().doing(STEP)?))
    }
}

const STEP: &str = "count pending deliveries";

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
