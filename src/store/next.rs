//! The ids that come next: above all that are there, and all that the newest mark knows were there.
//!
//! So none is ever given twice: rows go by retention alone, which goes by an older mark, so what went is
//! below the newest. There is no counter to be written with each commit, and none in memory: a person's
//! `INSERT INTO redelivery` takes ids by the same rule (`views/views.sql`). Asked inside the transaction
//! that uses them.

use rusqlite::Connection;

use crate::model::{AttemptId, DeliveryId, PayloadId};

/// The highest ids so far, or 0.
pub(super) const NEWEST_ATTEMPT: &str = "SELECT max(coalesce((SELECT max(id) FROM attempt), 0),
  coalesce((SELECT attempt_id FROM mark ORDER BY time DESC LIMIT 1), 0))";

pub(super) const NEWEST_DELIVERY: &str = "SELECT max(coalesce((SELECT max(id) FROM queued), 0),
  coalesce((SELECT max(id) FROM parked), 0), coalesce((SELECT max(id) FROM ended), 0),
  coalesce((SELECT max(delivery_id) FROM attempt), 0),
  coalesce((SELECT delivery_id FROM mark ORDER BY time DESC LIMIT 1), 0))";

pub(super) const NEWEST_PAYLOAD: &str = "SELECT max(coalesce((SELECT max(id) FROM payload), 0),
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

fn above(connection: &Connection, newest: &str) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(newest)?;
    statement.query_row([], |row| Ok(row.get::<_, i64>(0)? + 1))
}
