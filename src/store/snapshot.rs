//! The part of the cursor that an outbox in PostgreSQL needs: a row beside it, of the same generation.
//!
//! An outbox in SQLite has none, and pays nothing for it. What a snapshot means is not known here.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::schema::has_table;
use crate::model::{Generation, Snapshot};

/// The snapshot of that generation. A log of an earlier shape has none.
pub(super) fn read(
    connection: &Connection,
    generation: Generation,
) -> rusqlite::Result<Option<Box<Snapshot>>> {
    if !has_table(connection, "snapshot")? {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "SELECT system, timeline, seen, upto, xid, id, since FROM snapshot WHERE generation = ?1",
        )?
        .query_row([generation], |row| {
            Ok(Box::new(Snapshot {
                system: row.get(0)?,
                timeline: row.get(1)?,
                seen: row.get(2)?,
                window: row.get(3)?,
                xid: row.get(4)?,
                id: row.get(5)?,
                since: row.get(6)?,
            }))
        })
        .optional()
}

/// Writes it in the transaction that moves the cursor.
pub(super) fn write(
    t: &Transaction<'_>,
    generation: Generation,
    snapshot: &Snapshot,
) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT OR REPLACE INTO snapshot (one, generation, system, timeline, seen, upto, xid, id, since)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        generation,
        snapshot.system,
        snapshot.timeline,
        snapshot.seen,
        snapshot.window,
        snapshot.xid,
        snapshot.id,
        snapshot.since
    ])?;
    Ok(())
}
