//! What people ask of the log: deliveries once more, replays, an id to try a webhook out with.
//!
//! Every call of [`Store`] here is one short transaction over a chunk that the caller chose; how fast
//! the chunks follow each other is the caller's. Listing what there is to send again is the
//! [`Reader`]'s, so that a search through millions of rows never holds the writer. A replay's
//! position moves only in the transaction that writes the deliveries that it moved over.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::error::Doing;
use super::faults::DoingWith as _;
use super::{Error, Reader, Store, bodies, insert, next, schema, words};
use crate::model::{
    DeliveryId, Due, EventId, FanOut, Generation, IdRange, ReplayId, TimeWindow, Trigger,
};

/// Deliveries that came to an end without being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Given up.
    Failed,
    /// Taken back, for their webhook was inactive or had left the configuration; not by order.
    Cancelled,
}

/// Why a delivery is not made once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeliverError {
    /// No delivery has that id.
    Unknown,
    /// It has not come to its end yet.
    Pending,
    /// Its webhook gets nothing by today's configuration.
    Unserved,
    /// It was delivered, and its body was not kept.
    NotKept,
}

/// A new delivery's id and its webhook, or why there is none.
pub(crate) type Again = Result<(DeliveryId, String), RedeliverError>;

/// A replay, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// The generation of the outbox that its ids belong to.
    pub generation: Generation,
    /// Events from that UNIX millisecond on.
    pub since_ms: i64,
    /// Events before that UNIX millisecond.
    pub until_ms: Option<i64>,
    /// For that webhook only.
    pub webhook: Option<String>,
    /// Events of that pattern only.
    pub event: Option<String>,
    /// The first outbox id that has not been looked at.
    pub next_id: EventId,
    /// The last outbox id that belongs to it.
    pub last_id: EventId,
    /// Deliveries that were to be made when it was asked for.
    pub matched: i64,
    /// Deliveries made.
    pub done: i64,
    /// Whether it has come to its end.
    pub finished: bool,
}

const REPLAY: &str =
    "SELECT id, generation, since, until, webhook, event, next_id, last_id, matched,
  done, finished_at IS NOT NULL FROM replay";

impl Store {
    /// An event id to try a webhook out with: `now_ms`, or one more than the last where that is less.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn next_test_id(&mut self, now_ms: i64) -> Result<EventId, Error> {
        self.transact("give an id to a test", |t| {
            t.prepare_cached(
                "INSERT INTO test_event (one, event_id) VALUES (1, ?1)
                 ON CONFLICT (one) DO UPDATE SET event_id = max(excluded.event_id, event_id + 1)
                 RETURNING event_id",
            )?
            .query_row([now_ms], |row| row.get(0))
        })
    }

    /// Makes deliveries once more, with the same bytes. The answers are in the order of the ids: the
    /// new delivery's id and its webhook, or why there is none.
    ///
    /// # Errors
    /// The log can't be written: then none was made.
    pub fn redeliver(
        &mut self,
        ids: &[DeliveryId],
        is_served: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Again>, Error> {
        self.transact("redeliver", |t| {
            ids.iter().map(|id| redeliver(t, *id, is_served)).collect()
        })
    }

    /// Writes a replay down. Returns its id.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> Result<ReplayId, Error> {
        self.transact("begin a replay", |t| {
            t.prepare_cached(
                "INSERT INTO replay (created_at, generation, since, until, webhook, event, next_id,
                                     last_id, matched)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .insert(params![
                now_ms,
                replay.generation,
                replay.since_ms,
                replay.until_ms,
                replay.webhook,
                replay.event,
                replay.next_id,
                replay.last_id,
                replay.matched,
            ])
            .map(ReplayId::new)
        })
    }

    /// The oldest replay that has not come to its end.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn unfinished_replay(&mut self) -> Result<Option<Replay>, Error> {
        self.connection
            .prepare_cached(&format!(
                "{REPLAY} WHERE finished_at IS NULL ORDER BY id LIMIT 1"
            ))
            .and_then(|mut s| s.query_row([], replay).optional())
            .doing_with(&self.faults, "look for replays")
    }

    /// One step of a replay: the deliveries of `events`, and where to go on. The cursor stays.
    ///
    /// # Errors
    /// The log can't be written: then the replay is where it was.
    pub fn replay_step(
        &mut self,
        replay: &Replay,
        next_id: EventId,
        events: &[FanOut],
        takes: insert::Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        insert::bodies_are_there(events)?;
        self.transact_by_heart("replay events", |t, books| {
            let dues = insert::insert(
                t,
                (books, takes),
                replay.generation,
                events,
                Trigger::Replay,
                now_ms,
            )?;
            t.prepare_cached("UPDATE replay SET next_id = ?2, done = done + ?3 WHERE id = ?1")?
                .execute(params![
                    replay.id,
                    next_id,
                    i64::try_from(dues.len()).unwrap_or(i64::MAX)
                ])?;
            Ok(dues)
        })
    }

    /// Notes that a replay has come to its end.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn finish_replay(&mut self, id: ReplayId, now_ms: i64) -> Result<(), Error> {
        self.transact("finish a replay", |t| {
            t.execute(
                "UPDATE replay SET finished_at = ?2 WHERE id = ?1",
                params![id, now_ms],
            )
            .map(drop)
        })
    }
}

fn redeliver(
    t: &Transaction<'_>,
    id: DeliveryId,
    is_served: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<Again> {
    let found: Option<(String, String)> = t
        .prepare_cached("SELECT state, webhook FROM delivery WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((state, webhook)) = found else {
        return Ok(Err(RedeliverError::Unknown));
    };
    if state == "pending" {
        return Ok(Err(RedeliverError::Pending));
    }
    if !is_served(&webhook) {
        return Ok(Err(RedeliverError::Unserved));
    }
    if !bodies::is_kept(t, id)? {
        return Ok(Err(RedeliverError::NotKept));
    }
    let row = t
        .prepare_cached("INSERT INTO redelivery (delivery_id) VALUES (?1)")?
        .insert([id])?;
    let new = t
        .prepare_cached("SELECT new_delivery_id FROM redelivery WHERE id = ?1")?
        .query_row([row], |row| row.get(0))?;
    Ok(Ok((new, webhook)))
}

fn replay(row: &Row<'_>) -> rusqlite::Result<Replay> {
    Ok(Replay {
        id: row.get(0)?,
        generation: row.get(1)?,
        since_ms: row.get(2)?,
        until_ms: row.get(3)?,
        webhook: row.get(4)?,
        event: row.get(5)?,
        next_id: row.get(6)?,
        last_id: row.get(7)?,
        matched: row.get(8)?,
        done: row.get(9)?,
        finished: row.get(10)?,
    })
}

/// What selects those that ended so: not those that a later redelivery has taken up, and no tests. `?6`
/// is the state. What was given up and holds its line is among them but while it is being sent again, and stands for
/// those that it was sent again as; of those the ones before the last are not. The second is of the shape before.
const ENDED: [&str; 2] = [
    "FROM ended e INDEXED BY ended_webhook
      WHERE e.state = ?6 AND e.webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) AND e.id > ?2 AND e.id <= ?3
        AND e.finished_at >= ?4 AND e.finished_at < ?5 AND e.origin <> 3 AND e.reason IS NULL
        AND (NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = e.id)
             OR EXISTS (SELECT 1 FROM turn t WHERE t.delivery_id = e.id AND t.state = 1)
                AND NOT EXISTS (SELECT 1 FROM ended o INDEXED BY ended_payload JOIN redelivery r ON r.delivery_id = o.id
                                 WHERE o.payload_id = e.payload_id AND o.webhook_id = e.webhook_id
                                   AND (EXISTS (SELECT 1 FROM queued q WHERE q.id = r.new_delivery_id)
                                        OR EXISTS (SELECT 1 FROM parked k WHERE k.id = r.new_delivery_id))))
        AND NOT (e.origin = 1
                 AND EXISTS (SELECT 1 FROM ended o INDEXED BY ended_payload
                              WHERE o.payload_id = e.payload_id AND o.webhook_id = e.webhook_id
                                AND (EXISTS (SELECT 1 FROM turn t WHERE t.delivery_id = o.id AND t.state = 1)
                                     OR EXISTS (SELECT 1 FROM redelivery r
                                                 WHERE r.delivery_id = o.id AND r.new_delivery_id > e.id))))",
    "FROM old_delivery e INDEXED BY delivery_ended
      WHERE (e.state = 'failed' OR e.state = 'cancelled') AND e.state = CASE ?6 WHEN 0 THEN 'failed' ELSE 'cancelled' END
        AND e.webhook = ?1 AND e.id > ?2 AND e.id <= ?3
        AND e.finished_at >= ?4 AND e.finished_at < ?5 AND e.origin <> 'test'
        AND NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = e.id)",
];

impl Ended {
    fn state(self) -> i64 {
        match self {
            Self::Failed => words::FAILED,
            Self::Cancelled => words::CANCELLED,
        }
    }
}

/// What there is to ask, the rows of the shape before first, for their ids are lower.
fn ended_in(with_earlier: bool) -> &'static [&'static str] {
    if with_earlier {
        &[ENDED[1], ENDED[0]]
    } else {
        &ENDED[..1]
    }
}

impl Reader {
    /// The replay of that id.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn replay(&self, id: ReplayId) -> Result<Option<Replay>, Error> {
        self.connection
            .prepare_cached(&format!("{REPLAY} WHERE id = ?1"))
            .and_then(|mut s| s.query_row([id], replay).optional())
            .doing("read a replay")
    }

    /// The outbox id up to which events were taken in; 0 in a log that never was told.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn cursor(&self) -> Result<EventId, Error> {
        self.connection
            .prepare_cached("SELECT event_id FROM cursor")
            .and_then(|mut s| s.query_row([], |row| row.get(0)).optional())
            .map(Option::unwrap_or_default)
            .doing("read the cursor")
    }

    /// The highest delivery id given out.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn newest_delivery(&self) -> Result<DeliveryId, Error> {
        self.connection
            .prepare_cached(next::NEWEST_DELIVERY)
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("read the newest delivery")
    }

    /// When the pending delivery that is due first was made, for one webhook, UNIX milliseconds.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn oldest_pending(&self, webhook: &str) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached(
                "SELECT created_at FROM (
                   SELECT created_at, due_at FROM queued
                    WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1)
                   UNION ALL SELECT * FROM (
                     SELECT created_at, due_at FROM parked INDEXED BY parked_due
                      WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1)
                      ORDER BY due_at LIMIT 1)) ORDER BY due_at LIMIT 1",
            )
            .and_then(|mut s| s.query_row([webhook], |row| row.get(0)).optional())
            .doing("look for the oldest pending delivery")
    }

    /// A webhook's deliveries that ended so within `window` and were not sent again since: up to
    /// `max_rows` of these ids, in their order.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        ids: IdRange<DeliveryId>,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        let read = || -> rusqlite::Result<Vec<DeliveryId>> {
            let mut found = Vec::new();
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            for from in ended_in(with_earlier) {
                let limit = i64::try_from(max_rows - found.len()).unwrap_or(i64::MAX);
                let mut statement = snapshot
                    .prepare_cached(&format!("SELECT e.id {from} ORDER BY e.id LIMIT ?7"))?;
                let ids = (ids.after, ids.up_to);
                let times = (window.from_ms, window.to_ms);
                let rows = statement.query_map(
                    params![webhook, ids.0, ids.1, times.0, times.1, how.state(), limit],
                    |row| row.get(0),
                )?;
                for id in rows {
                    found.push(id?);
                }
            }
            Ok(found)
        };
        read().doing("list what can be sent again")
    }

    /// How many [`ended`](Self::ended) would list, up to the delivery `up_to`.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn count_ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        let count = || -> rusqlite::Result<i64> {
            let mut all = 0;
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            for from in ended_in(with_earlier) {
                let times = (window.from_ms, window.to_ms);
                all += snapshot
                    .prepare_cached(&format!("SELECT count(*) {from}"))?
                    .query_row(
                        params![webhook, 0, up_to, times.0, times.1, how.state()],
                        |row| row.get::<_, i64>(0),
                    )?;
            }
            Ok(all)
        };
        count().doing("count what can be sent again")
    }
}
