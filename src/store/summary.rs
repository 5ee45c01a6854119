//! What stands in the way of the webhooks: the one that failed last. For systemd's status line, which
//! has room for one.

use rusqlite::OptionalExtension;

use super::error::Doing;
use super::{Error, Reader};

/// An active webhook whose newest attempt was no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastFailure {
    /// The webhook's name.
    pub webhook: String,
    /// Why, where it is known.
    pub error: Option<String>,
}

impl Reader {
    /// The active webhook whose newest attempt failed, the last one where there are several.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn last_failure(&self) -> Result<Option<LastFailure>, Error> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT name, last_error FROM webhook
                      WHERE state = 'active' AND last_failure_at > coalesce(last_success_at, 0)
                      ORDER BY last_failure_at DESC LIMIT 1",
                )?
                .query_row([], |row| {
                    Ok(LastFailure {
                        webhook: row.get(0)?,
                        error: row.get(1)?,
                    })
                })
                .optional()
        };
        read().doing("look for the last failure")
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
            (
                reader.pending_in_all().unwrap(),
                reader.last_failure().unwrap(),
            )
        };
        let webhook = |name: &str, state: &str, failure: i64, error: &str| {
            format!(
                "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id,
                 last_failure_at, last_error) VALUES ('{name}', '{state}', 1, 1, 1, 0, {failure}, {error});"
            )
        };
        let (pending, failing) = outlook(&webhook("a", "active", 5, "'refused'"));
        assert_eq!((pending.count, pending.more), (0, false));
        let failing = failing.unwrap();
        assert_eq!(
            (&*failing.webhook, failing.error.as_deref()),
            ("a", Some("refused"))
        );
        let later = webhook("b", "active", 6, "NULL") + &webhook("c", "inactive", 7, "'gone'");
        assert_eq!(outlook(&later).1.unwrap().webhook, "b");
        let delivery =
            "INSERT INTO parked (webhook_id, payload_id, origin, attempts, due_at, created_at)
             VALUES (1, 1, 0, 0, 1, 1);";
        assert_eq!(outlook(delivery).0.count, 1);
        let well = outlook("UPDATE webhook SET last_success_at = 9");
        assert_eq!(well.1, None);
    }
}
