//! One event that may have ten thousand deliveries: its attempts and deliveries, the newest first, up to a bound.
//!
//! Their ids come out of the indexes alone; rows are read of those that are looked at. Left out: what became of an event
//! for each webhook, which needs all of its deliveries (`event`).

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Reader;
use super::event::{DeliveryTrace, delivery_traces};
use super::log::{BODIES_BYTES_AT_ONCE, LOOKED_THROUGH, Newest, Shape, shapes};
use super::wanted::{LogFilter, Sieve};
use crate::model::{AttemptId, DeliveryId, EventId};
use crate::store::error::Doing;
use crate::store::{Error, schema};

/// Newest attempts of an event among which delivered ones are looked for: twenty for each that a page lists.
const ATTEMPTS: i64 = 2_000;

/// Deliveries of an event by where they are: `?1` the event, `?2` so many.
const DELIVERIES: [&str; 4] = [
    "SELECT id FROM queued WHERE payload_id IN (SELECT id FROM payload WHERE event_id = ?1) AND ?3 = ?3
      ORDER BY id DESC LIMIT ?2",
    "SELECT id FROM parked WHERE payload_id IN (SELECT id FROM payload WHERE event_id = ?1) AND ?3 = ?3
      ORDER BY id DESC LIMIT ?2",
    "SELECT id FROM ended WHERE payload_id IN (SELECT id FROM payload WHERE event_id = ?1) AND ?3 = ?3
      ORDER BY id DESC LIMIT ?2",
    "SELECT a.delivery_id FROM (
       SELECT x.id FROM payload p CROSS JOIN attempt x ON x.payload_id = p.id WHERE p.event_id = ?1
        ORDER BY x.id DESC LIMIT ?3) n
       CROSS JOIN attempt a ON a.id = n.id
      WHERE a.outcome = 1 ORDER BY a.id DESC LIMIT ?2",
];
const EARLIER_DELIVERIES: &str =
    "SELECT id FROM old_delivery WHERE event_id = ?1 AND ?3 = ?3 ORDER BY id DESC LIMIT ?2";

impl Reader {
    /// As [`Reader::newest`], of one event: by its id they are found without a search.
    pub(super) fn newest_of_event(
        &self,
        event_id: EventId,
        filter: &LogFilter,
        count: usize,
    ) -> Result<Newest, Error> {
        let find = || -> rusqlite::Result<Newest> {
            let mut newest = Newest::default();
            let mut left = filter.looked_through.unwrap_or(LOOKED_THROUGH);
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            for shape in shapes(with_earlier).iter().rev() {
                if newest.ids.len() == count || newest.stopped_at.is_some() {
                    break;
                }
                let before = filter.before.unwrap_or(AttemptId::new(i64::MAX));
                let limit = i64::try_from(left).unwrap_or(i64::MAX - 1);
                let ids: Vec<AttemptId> = snapshot
                    .prepare_cached(shape.of_event)?
                    .query_map(params![event_id, before, limit + 1], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                left = left.saturating_sub(ids.len());
                let is_cut = usize::try_from(limit).is_ok_and(|limit| ids.len() > limit);
                sift(
                    &snapshot,
                    (shape, filter),
                    (&ids, is_cut),
                    (&mut newest, count),
                )?;
            }
            newest.ids.reverse();
            Ok(newest)
        };
        find().doing("look for an event's attempts")
    }

    /// The newest `most` deliveries of an event that has more than `many`; `None` where it has not, as far as that is
    /// seen at once.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn last_of_many(
        &self,
        event_id: EventId,
        (many, most): (usize, usize),
    ) -> Result<Option<Vec<DeliveryTrace>>, Error> {
        let read = || -> rusqlite::Result<Option<Vec<DeliveryTrace>>> {
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            let limit = i64::try_from(many.max(most) + 1).unwrap_or(i64::MAX);
            let earlier = with_earlier.then_some(EARLIER_DELIVERIES);
            let mut ids: Vec<DeliveryId> = Vec::new();
            for sql in DELIVERIES.into_iter().chain(earlier) {
                let mut statement = snapshot.prepare_cached(sql)?;
                let found =
                    statement.query_map(params![event_id, limit, ATTEMPTS], |row| row.get(0))?;
                for id in found {
                    ids.push(id?);
                }
            }
            ids.sort_unstable();
            ids.dedup();
            if ids.len() <= many {
                return Ok(None);
            }
            let mut newest = Vec::with_capacity(most);
            for id in ids.into_iter().rev().take(most) {
                newest.append(&mut delivery_traces(
                    &snapshot,
                    "d.id = ?1",
                    params![id, 1],
                )?);
            }
            Ok(Some(newest))
        };
        read().doing("read an event's newest deliveries")
    }
}

/// Of attempts by their ids, the newest first, those that the filter lets through; `is_cut` where there are more.
fn sift(
    connection: &Connection,
    (shape, filter): (&Shape, &LogFilter),
    (ids, is_cut): (&[AttemptId], bool),
    (newest, count): (&mut Newest, usize),
) -> rusqlite::Result<()> {
    let mut one = connection.prepare_cached(shape.one)?;
    let mut sieve = Sieve::new(connection, filter, [shape.event, shape.body])?;
    for (place, id) in ids.iter().enumerate() {
        if newest.ids.len() == count {
            break;
        }
        let seen = one.query_row(params![id, filter.webhook], |row| {
            let is_webhooks: bool = row.get(1)?;
            Ok((is_webhooks && sieve.passes(row)?, row.get::<_, i64>(3)?))
        });
        let Some((passes, time_ms)) = seen.optional()? else {
            continue;
        };
        if passes {
            newest.ids.push(*id);
        }
        let is_last = is_cut && place + 2 == ids.len();
        if newest.ids.len() < count && (is_last || sieve.read_bytes >= BODIES_BYTES_AT_ONCE) {
            (newest.stopped_at, newest.stopped_at_ms) = (Some(*id), Some(time_ms));
            break;
        }
    }
    newest.unread += sieve.unread;
    Ok(())
}
