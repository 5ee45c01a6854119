//! Batches that were formed, as they stand in the log.
//!
//! Left out: when they are written and forgotten (`batch`).

use rusqlite::{Connection, OptionalExtension};

use crate::model::{Batch, DeliveryId};

/// The batch that begins with that delivery and of which all are pending.
pub(super) fn standing(
    connection: &Connection,
    first: DeliveryId,
) -> rusqlite::Result<Option<Batch>> {
    let Some(batch) = read(connection, first)? else {
        return Ok(None);
    };
    let mut pending = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM parked WHERE id = ?1) OR EXISTS (SELECT 1 FROM queued WHERE id = ?1)",
    )?;
    for id in &batch.members {
        if !pending.query_row([id], |row| row.get(0))? {
            return Ok(None);
        }
    }
    Ok(Some(batch))
}

/// The batch that begins with that delivery.
pub(super) fn read(connection: &Connection, first: DeliveryId) -> rusqlite::Result<Option<Batch>> {
    let mut batch =
        connection.prepare_cached("SELECT name, members FROM batch WHERE first_id = ?1")?;
    let read: Option<(String, String)> = batch
        .query_row([first], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(read.and_then(|(name, members)| {
        let ids = members.split(',').map(|id| id.parse().map(DeliveryId::new));
        let members = ids.collect::<Result<Box<[_]>, _>>().ok()?;
        let name = name.into();
        Some(Batch { name, members })
    }))
}
