//! The ids that come next: above all that are there, and all that the newest mark knows were there.
//!
//! So none is ever given twice: rows go by retention alone, which goes by an older mark, so what went is
//! below the newest. There is no counter to be written with each commit, and none in memory: a person's
//! `INSERT INTO redelivery` takes ids by the same rule (`views/views.sql`). Asked inside the transaction
//! that uses them.

use rusqlite::{Connection, Transaction, params};

use crate::model::{AttemptId, DeliveryId, PayloadId};

/// The highest ids so far, or 0.
pub(super) const NEWEST_ATTEMPT: &str = "SELECT max(coalesce((SELECT max(id) FROM attempt), 0),
  coalesce((SELECT attempt_id FROM mark ORDER BY time DESC LIMIT 1), 0))";

pub(super) const NEWEST_DELIVERY: &str = "SELECT max(coalesce((SELECT max(id) FROM queued), 0),
  coalesce((SELECT max(id) FROM parked), 0), coalesce((SELECT max(id) FROM ended), 0),
  coalesce((SELECT max(delivery_id) FROM attempt), 0),
  coalesce((SELECT delivery_id FROM mark ORDER BY time DESC LIMIT 1), 0))";

const NEWEST_PAYLOAD: &str = "SELECT max(coalesce((SELECT max(id) FROM payload), 0),
  coalesce((SELECT payload_id FROM mark ORDER BY time DESC LIMIT 1), 0))";

pub(super) fn attempt(connection: &Connection) -> rusqlite::Result<AttemptId> {
    above(connection, NEWEST_ATTEMPT).map(AttemptId::new)
}

pub(super) fn delivery(connection: &Connection) -> rusqlite::Result<DeliveryId> {
    above(connection, NEWEST_DELIVERY).map(DeliveryId::new)
}

pub(super) fn payload(connection: &Connection) -> rusqlite::Result<PayloadId> {
    above(connection, NEWEST_PAYLOAD).map(PayloadId::new)
}

/// Writes a mark: what there was by then.
pub(super) fn mark(
    t: &Transaction<'_>,
    time_ms: i64,
    [attempt, delivery, payload]: [i64; 3],
) -> rusqlite::Result<usize> {
    t.prepare_cached(
        "INSERT INTO mark (time, generation, event_id, attempt_id, delivery_id, payload_id,
                           rejected_id, redelivery_id)
         SELECT ?1, coalesce((SELECT generation FROM cursor), 0),
                coalesce((SELECT event_id FROM cursor), 0),
                ?2, ?3, ?4,
                coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'rejected'), 0),
                coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'redelivery'), 0)",
    )?
    .execute(params![time_ms, attempt, delivery, payload])
}

/// Has the newest mark know what is there now, for some of it is about to be deleted. A mark that knows
/// more than it did has nothing go early: what goes by one has to be old by its own time, too.
pub(super) fn keep(t: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    let newest = newest(t)?;
    let kept = t
        .prepare_cached(
            "UPDATE mark SET attempt_id = ?1, delivery_id = ?2, payload_id = ?3
              WHERE time = (SELECT max(time) FROM mark)",
        )?
        .execute(newest)?;
    if kept == 0 {
        mark(t, now_ms, newest)?;
    }
    Ok(())
}

/// The highest ids so far, of attempts, deliveries and payloads.
pub(super) fn newest(t: &Transaction<'_>) -> rusqlite::Result<[i64; 3]> {
    let mut ids = [0; 3];
    for (id, sql) in ids
        .iter_mut()
        .zip([NEWEST_ATTEMPT, NEWEST_DELIVERY, NEWEST_PAYLOAD])
    {
        *id = t.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    }
    Ok(ids)
}

fn above(connection: &Connection, newest: &str) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(newest)?;
    statement.query_row([], |row| Ok(row.get::<_, i64>(0)? + 1))
}
