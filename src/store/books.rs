//! What the writer knows by heart of the log's tables of names and texts, so as not to look them up.
//!
//! All of it is read from the tables, and what a transaction adds is true once that is committed: where
//! one fails, all of it is forgotten, and read anew by the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::texts::Texts;
use crate::model::AttemptId;

/// Attempts in a block of the table `seen`, as a power of two.
pub(super) const BLOCK_BITS: u32 = 10;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// As many as there were webhooks.
    names: HashMap<Arc<str>, i64>,
    /// The newest block of attempts, and the webhooks that are known to be in it.
    seen: (i64, HashSet<i64>),
    pub(super) texts: Texts,
}

impl Books {
    /// The id of a webhook's name, which gets one where it has none.
    pub(super) fn webhook(
        &mut self,
        t: &Transaction<'_>,
        name: &Arc<str>,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        t.prepare_cached("INSERT OR IGNORE INTO webhook_name (name) VALUES (?1)")?
            .execute([name])?;
        let id = webhook_id(t, name)?.unwrap_or_default();
        self.names.insert(name.clone(), id);
        Ok(id)
    }

    /// Writes down that the block of that attempt has one of the webhook's.
    pub(super) fn note(
        &mut self,
        t: &Transaction<'_>,
        id: AttemptId,
        webhook_id: i64,
    ) -> rusqlite::Result<()> {
        let block = id.get() >> BLOCK_BITS;
        if self.seen.0 != block {
            self.seen.0 = block;
            self.seen.1.clear();
        }
        if self.seen.1.insert(webhook_id) {
            t.prepare_cached("INSERT OR IGNORE INTO seen (webhook_id, block) VALUES (?1, ?2)")?
                .execute(params![webhook_id, block])?;
        }
        Ok(())
    }
}

/// The id of a webhook's name; `None` where nothing was ever made for it.
pub(super) fn webhook_id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM webhook_name WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
