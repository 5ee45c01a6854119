//! How far the outbox has been taken in, as its rows say it.

use tokio_postgres::Row;

use crate::model::{Cursor, EventId, Generation, Snapshot};
use crate::postgres::{Link, Trouble};
use crate::store::admit::unpack;

/// The cursor's row with the snapshot of its generation.
pub(super) const CURSOR: &str =
    "SELECT c.generation, c.event_id, c.fingerprints, c.time, s.generation IS NOT NULL,
       s.system, s.timeline, s.seen, s.upto, s.xid, s.id, s.since, c.moves
  FROM webhooksd.cursor c LEFT JOIN webhooksd.snapshot s ON s.generation = c.generation";

/// How far the outbox has been taken in, whoever asks.
pub(super) fn cursor_at(link: &Link) -> Result<Option<Cursor>, Trouble> {
    const STEP: &str = "read the cursor";
    let rows = link.rows(STEP, CURSOR, &[])?;
    let failed = |error| Trouble::of_step(&link.server, STEP, error);
    rows.first().map(cursor).transpose().map_err(failed)
}

/// A row of [`CURSOR`].
pub(super) fn cursor(row: &Row) -> Result<Cursor, tokio_postgres::Error> {
    let (fingerprints, former) = unpack(row.try_get(2)?);
    let snapshot = if row.try_get(4)? {
        Some(Box::new(Snapshot {
            system: row.try_get(5)?,
            timeline: row.try_get(6)?,
            seen: row.try_get(7)?,
            window: row.try_get(8)?,
            xid: row.try_get(9)?,
            id: EventId::new(row.try_get(10)?),
            since: EventId::new(row.try_get(11)?),
        }))
    } else {
        None
    };
    Ok(Cursor {
        generation: Generation::new(row.try_get(0)?),
        event_id: EventId::new(row.try_get(1)?),
        fingerprints,
        former,
        time_ms: row.try_get(3)?,
        snapshot,
    })
}
