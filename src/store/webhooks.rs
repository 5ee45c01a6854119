//! The log's table of webhooks: which there are, since when, and what was last seen of them.
//!
//! A row's `since` and `after_event_id` say from which event on its state holds, so that people can
//! be told why an old event was not sent. Rows are never deleted: a name that left the configuration
//! is `removed`. URLs, secrets and patterns are not kept; those are the configuration's.

use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::{Error, Store};

impl Store {
    /// Makes the table say what the configuration says: each name with whether it is active; names
    /// that are not in it are removed. A row is written only where that changes something.
    ///
    /// # Errors
    /// The log can't be written: then the table is as it was.
    pub fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) -> Result<(), Error> {
        self.transact("register webhooks", |t| register(t, webhooks, now_ms))
    }
}

fn register(
    t: &Transaction<'_>,
    webhooks: &[(Arc<str>, bool)],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut upsert = t.prepare_cached(
        "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
         VALUES (?1, ?2, ?3, ?3, coalesce((SELECT generation FROM cursor), 0),
                 coalesce((SELECT event_id FROM cursor), 0))
         ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since,
           generation = excluded.generation, after_event_id = excluded.after_event_id
         WHERE state <> excluded.state",
    )?;
    for (name, active) in webhooks {
        let state = if *active { "active" } else { "inactive" };
        upsert.execute(params![name, state, now_ms])?;
    }
    let known: std::collections::HashSet<&str> = webhooks.iter().map(|(n, _)| &**n).collect();
    let mut names = t.prepare_cached("SELECT name FROM webhook WHERE state <> 'removed'")?;
    let gone: Vec<String> = names
        .query_map([], |row| row.get::<_, String>(0))?
        .filter(|name| !matches!(name, Ok(name) if known.contains(name.as_str())))
        .collect::<rusqlite::Result<_>>()?;
    for name in gone {
        upsert.execute(params![name, "removed", now_ms])?;
    }
    Ok(())
}
