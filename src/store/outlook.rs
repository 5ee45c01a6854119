//! The log in one line: how much is pending, and which webhook failed last. For systemd's status.
//!
//! Bounded, whatever the log's size, for it is asked every few seconds. The whole of it, a webhook
//! at a time, is the view `health`.

use rusqlite::OptionalExtension;

use super::error::Doing;
use super::{Error, Reader};

/// So many pending deliveries are counted, some 5 ms.
const COUNTED: i64 = 100_000;

/// What is to be delivered, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Deliveries that are pending, up to a limit.
    pub pending: i64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// The active webhook whose newest attempt failed, the last one where there are several.
    pub failing: Option<Failing>,
}

/// A webhook whose newest attempt was no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Its name.
    pub webhook: String,
    /// Why, where it is known.
    pub error: Option<String>,
}

impl Reader {
    /// What is pending, and what failed last.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn outlook(&self) -> Result<Outlook, Error> {
        let count = || -> rusqlite::Result<i64> {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'pending' LIMIT ?1)",
                )?
                .query_row([COUNTED + 1], |row| row.get(0))
        };
        let failing = || {
            self.connection
                .prepare_cached(
                    "SELECT name, last_error FROM webhook
                      WHERE state = 'active' AND last_failure_at > coalesce(last_success_at, 0)
                      ORDER BY last_failure_at DESC LIMIT 1",
                )?
                .query_row([], |row| {
                    Ok(Failing {
                        webhook: row.get(0)?,
                        error: row.get(1)?,
                    })
                })
                .optional()
        };
        let counted = count().doing("count pending deliveries")?;
        Ok(Outlook {
            pending: counted.min(COUNTED),
            more: counted > COUNTED,
            failing: failing().doing("look for the last failure")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn pending_is_counted_and_the_last_failure_named_until_a_success() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let store = Store::open(&path, 1).unwrap();
        let reader = Reader::open(&path).unwrap();
        let outlook = |sql: &str| {
            store.connection.execute_batch(sql).unwrap();
            reader.outlook().unwrap()
        };
        let webhook = |name: &str, state: &str, failure: i64, error: &str| {
            format!(
                "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id,
                 last_failure_at, last_error) VALUES ('{name}', '{state}', 1, 1, 1, 0, {failure}, {error});"
            )
        };
        let first = outlook(&webhook("a", "active", 5, "'refused'"));
        assert_eq!((first.pending, first.more), (0, false));
        let failing = first.failing.unwrap();
        assert_eq!(
            (&*failing.webhook, failing.error.as_deref()),
            ("a", Some("refused"))
        );
        let later = webhook("b", "active", 6, "NULL") + &webhook("c", "inactive", 7, "'gone'");
        assert_eq!(outlook(&later).failing.unwrap().webhook, "b");
        let delivery = "INSERT INTO delivery (generation, event_id, event, webhook, dialect, state,
             origin, due_at, created_at, payload_id)
             VALUES (1, 1, 'e', 'a', 'bold-cms', 'pending', 'event', 1, 1, 1);";
        assert_eq!(outlook(delivery).pending, 1);
        let well = outlook("UPDATE webhook SET last_success_at = 9");
        assert_eq!(well.failing, None);
    }
}
