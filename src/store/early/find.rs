//! What may go before its days: attempts, the oldest first, and deliveries that were cancelled.
//!
//! Reads alone; what of it goes, and when, is the caller's.

use rusqlite::{Connection, params};

use crate::model::{AttemptId, DeliveryId, PayloadId};
use crate::store::passes::Place;
use crate::store::schema;

/// Webhooks whose cancelled deliveries are looked for at once, at least.
const WEBHOOKS: i64 = 100;

/// What goes at once.
pub(super) struct Work {
    pub(super) id: DeliveryId,
    pub(super) payload_id: PayloadId,
}

/// An attempt, oldest first, with what is known of its delivery.
pub(super) struct Seen {
    pub(super) attempt: AttemptId,
    pub(super) time_ms: i64,
    pub(super) webhook: String,
    pub(super) is_pending: bool,
    pub(super) is_cancelled: bool,
    pub(super) is_last: bool,
    pub(super) work: Work,
}

/// A delivery that was cancelled.
pub(super) struct Cancelled {
    pub(super) webhook: String,
    pub(super) finished_ms: i64,
    pub(super) is_last: bool,
    pub(super) work: Work,
}

const OLDEST: &str = "SELECT a.id, a.time, n.name, a.delivery_id, a.payload_id,
         EXISTS (SELECT 1 FROM parked WHERE id = a.delivery_id) OR EXISTS (SELECT 1 FROM queued WHERE id = a.delivery_id)
           OR EXISTS (SELECT 1 FROM turn WHERE delivery_id = a.delivery_id),
         EXISTS (SELECT 1 FROM ended WHERE id = a.delivery_id AND state = 1),
         NOT EXISTS (SELECT 1 FROM attempt b WHERE b.delivery_id = a.delivery_id AND b.id > a.id)
    FROM attempt a JOIN webhook_name n ON n.id = a.webhook_id
   WHERE a.id > ?1 ORDER BY a.id LIMIT ?2";

/// The same of the shape before. What was pending when that ended goes with its later attempts.
const EARLIER_OLDEST: &str =
    "SELECT a.id, a.time, a.webhook, a.delivery_id, coalesce(d.payload_id, 0),
         coalesce(d.state = 'pending', 0), coalesce(d.state = 'cancelled', 0),
         NOT EXISTS (SELECT 1 FROM old_attempt b WHERE b.delivery_id = a.delivery_id AND b.id > a.id)
    FROM old_attempt a LEFT JOIN old_delivery d ON d.id = a.delivery_id
   WHERE a.id > ?1 ORDER BY a.id LIMIT ?2";

/// Of one webhook behind an id.
const CANCELLED: &str = "SELECT id, payload_id, finished_at,
         NOT EXISTS (SELECT 1 FROM attempt b WHERE b.delivery_id = ended.id AND b.id > ?4)
    FROM ended INDEXED BY ended_webhook
   WHERE webhook_id = ?1 AND state = 1 AND id > ?2 ORDER BY id LIMIT ?3";

/// The same of the shape before, whose ids are lower.
const EARLIER_CANCELLED: &str = "SELECT id, payload_id, finished_at,
         NOT EXISTS (SELECT 1 FROM attempt b WHERE b.delivery_id = d.id AND b.id > ?4)
         AND NOT EXISTS (SELECT 1 FROM old_attempt b WHERE b.delivery_id = d.id AND b.id > ?4)
    FROM old_delivery d INDEXED BY delivery_ended
   WHERE (state = 'failed' OR state = 'cancelled') AND state = 'cancelled'
     AND webhook = (SELECT name FROM webhook_name WHERE id = ?1) AND id > ?2 ORDER BY id LIMIT ?3";

/// Up to so many behind that one, and whether there is anything of the shape before. What is left of
/// that comes first, for its ids are lower.
pub(super) fn oldest(
    connection: &Connection,
    after: AttemptId,
    limit: i64,
) -> rusqlite::Result<(Vec<Seen>, bool)> {
    let with_earlier = schema::has_earlier(connection)?;
    let mut all = Vec::new();
    for sql in with_earlier
        .then_some(EARLIER_OLDEST)
        .into_iter()
        .chain([OLDEST])
    {
        let left = limit - i64::try_from(all.len()).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, left], |row| {
            Ok(Seen {
                attempt: row.get(0)?,
                time_ms: row.get(1)?,
                webhook: row.get(2)?,
                is_pending: row.get(5)?,
                is_cancelled: row.get(6)?,
                is_last: row.get(7)?,
                work: Work {
                    id: row.get(3)?,
                    payload_id: row.get(4)?,
                },
            })
        })?;
        for row in rows {
            all.push(row?);
        }
    }
    Ok((all, with_earlier))
}

/// Up to so many behind that place, of no more webhooks than that, and where to go on; `None`: that was all.
pub(super) fn cancelled(
    connection: &Connection,
    place: Option<Place>,
    after: AttemptId,
    limit: i64,
) -> rusqlite::Result<(Vec<Cancelled>, Option<Place>)> {
    let (first, mut behind) = place.unwrap_or_default();
    let mut names = connection
        .prepare_cached("SELECT id, name FROM webhook_name WHERE id >= ?1 ORDER BY id LIMIT ?2")?;
    let names: Vec<(i64, String)> = names
        .query_map([first, limit.max(WEBHOOKS)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let ended = i64::try_from(names.len()).unwrap_or(i64::MAX) < limit.max(WEBHOOKS);
    let shapes: &[&str] = if schema::has_earlier(connection)? {
        &[EARLIER_CANCELLED, CANCELLED]
    } else {
        &[CANCELLED]
    };
    let mut all: Vec<Cancelled> = Vec::new();
    let mut last = first;
    for (webhook_id, webhook) in names {
        if webhook_id != first {
            behind = DeliveryId::default();
        }
        last = webhook_id;
        for sql in shapes {
            let left = limit - i64::try_from(all.len()).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![webhook_id, behind, left, after], |row| {
                Ok(Cancelled {
                    webhook: webhook.clone(),
                    finished_ms: row.get(2)?,
                    is_last: row.get(3)?,
                    work: Work {
                        id: row.get(0)?,
                        payload_id: row.get(1)?,
                    },
                })
            })?;
            for row in rows {
                all.push(row?);
            }
        }
        if i64::try_from(all.len()).unwrap_or(i64::MAX) >= limit {
            let behind = all.last().map_or(behind, |one| one.work.id);
            return Ok((all, Some((webhook_id, behind))));
        }
    }
    Ok((all, (!ended).then_some((last + 1, DeliveryId::default()))))
}
