//! What is owed: deliveries of events that were taken in, to be made in a transaction of their own.
//!
//! An event that a hundred dead endpoints want touches a hundred pages of the index of what is
//! pending; an endpoint that answers need not wait for those. So they are written down as one row,
//! in the transaction that moves the cursor, and become deliveries in the next. A debt is paid once,
//! whoever comes first: its row goes in the same transaction. Who is made to wait is decided above.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Row;

use super::faults::DoingWith as _;
use super::insert::{Made, Takes};
use super::{Error, Store};
use crate::model::{Deferred, Dialect, Due, Trigger};

impl Store {
    /// Some of what is owed, the oldest first.
    ///
    /// # Errors
    /// The log can't be read, or holds what it can't hold.
    pub fn owed(&mut self, rows: usize) -> Result<Vec<Deferred>, Error> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT o.id, o.generation, o.event_id, o.event, o.dialect, o.payload_id, o.webhooks,
                        CAST(p.body AS BLOB),
                        (SELECT m.id FROM payload_message m WHERE m.payload_id = p.id)
                   FROM owed o JOIN payload p ON p.id = o.payload_id ORDER BY o.id LIMIT ?1",
            )
            .and_then(|mut statement| {
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                let read: rusqlite::Result<Vec<_>> = statement.query_map([rows], read)?.collect();
                // What only a hand can have made is left alone.
                Ok(read?.into_iter().flatten().collect())
            });
        found.doing_with(&self.faults, "read what is owed")
    }

    /// Makes the deliveries of what is owed and was not paid yet. Every one is due at once.
    ///
    /// # Errors
    /// The log can't be written: then all of it is still owed.
    pub fn materialize(
        &mut self,
        owed: &[Deferred],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        self.transact_by_heart("make owed deliveries", |t, books| {
            let mut paid = t.prepare_cached("DELETE FROM owed WHERE id = ?1")?;
            let mut dues = Vec::new();
            for deferred in owed {
                if paid.execute([deferred.id])? == 0 {
                    continue;
                }
                let made = Made {
                    generation: deferred.generation,
                    origin: Trigger::Event,
                    now_ms,
                };
                let due = |webhook| deferred.due(webhook, Trigger::Event, now_ms);
                let templates = deferred.webhooks.iter().map(due).collect();
                dues.extend(made.deliveries(t, books, takes, templates)?);
            }
            Ok(dues)
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Deferred>> {
    let (dialect, names): (String, String) = (row.get(4)?, row.get(6)?);
    let Some(dialect) = Dialect::from_name(&dialect) else {
        return Ok(None);
    };
    Ok(Some(Deferred {
        id: row.get(0)?,
        generation: row.get(1)?,
        event_id: row.get(2)?,
        event: Arc::from(row.get::<_, String>(3)?),
        dialect,
        payload_id: row.get(5)?,
        webhooks: names.lines().map(Arc::from).collect(),
        body: Bytes::from(row.get::<_, Vec<u8>>(7)?),
        message: row
            .get_ref(8)?
            .as_str_or_null()
            .unwrap_or_default()
            .map(Arc::from),
    }))
}
