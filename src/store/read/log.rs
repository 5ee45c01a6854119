//! Attempts, newest first: which of them a person asked for, and what they say.
//!
//! The log has no index on time, outcome or event name, for each would cost every write. Ids are
//! given in the order of the commits, so a time is found by bisection; what is not indexed is looked
//! for from the newest backwards, over a bounded number of rows unless the caller said how far back.
//! Invariant: what is looked through is the head of each row; headers and bodies are only read of
//! the rows that are shown.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Reader;
use super::wanted::{LogFilter, Sieve};
use crate::model::{AttemptId, DeliveryId, EventId};
use crate::store::error::Doing;
use crate::store::{Error, next, schema};

/// Without a time to stop at, so many rows are looked through: some 50 ms where they are cached.
pub(super) const LOOKED_THROUGH: usize = 50_000;

/// Ids of a block.
const BLOCK_ROWS: usize = 1_024;

/// Of the rows of others in a block of ids, so many cost as much as one that is the webhook's.
const PASSED_OVER: usize = 16;

/// The same where the asker said how many rows are looked through: that bound is for a page, which is to be there at
/// once, and goes on where it is asked for more.
const PASSED_OVER_AT_ONCE: usize = 4;

/// So many bytes of bodies are read at most where something is asked of them: a second of them, and for a page what
/// is there at once.
const BODIES_BYTES: usize = 256 << 20;
pub(super) const BODIES_BYTES_AT_ONCE: usize = 8 << 20;

/// Attempts are committed when they end, up to nine seconds after the time they carry, and small
/// clock steps put times out of order: so much before a time the search for it begins.
const OUT_OF_ORDER_MS: i64 = 600_000;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    /// The attempts' ids, the oldest first.
    pub ids: Vec<AttemptId>,
    /// Where the search stopped before the end of the log, because it had looked through enough:
    /// the time of the last attempt looked at, UNIX milliseconds.
    pub stopped_at_ms: Option<i64>,
    /// That attempt.
    pub stopped_at: Option<AttemptId>,
    /// Attempts that may be wanted: what is asked of their bodies can't be said, for the log does not keep them.
    pub unread: usize,
}

/// A row of the view `log`, without headers and bodies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogRow {
    /// The attempt's id; grows in the order made.
    pub id: AttemptId,
    /// When it began, ISO 8601 UTC with milliseconds.
    pub time: String,
    /// The webhook's name.
    pub webhook: String,
    /// The event's name; `None` where the delivery is gone.
    pub event: Option<String>,
    /// The outbox id of the event.
    pub event_id: Option<EventId>,
    /// The delivery it was made for.
    pub delivery_id: DeliveryId,
    /// 1 for the first.
    pub attempt: i64,
    /// `delivered`, `retry`, `failed`.
    pub outcome: String,
    /// The answer's status, where there was one.
    pub status: Option<i64>,
    /// Why it was no success.
    pub error: Option<String>,
    /// From the start to the end, milliseconds.
    pub duration_ms: f64,
    /// Where it went.
    pub url: String,
    /// Resolving the name, TCP, the proxy's consent, TLS, the answer's head, its body: milliseconds each, in this
    /// order.
    pub phases_ms: [Option<f64>; 6],
    /// The address that was talked to.
    pub peer: Option<String>,
    /// The kind of trouble, one word, where there was no answer.
    pub class: Option<String>,
    /// The wire contract; `None` where the delivery is gone.
    pub dialect: Option<String>,
    /// Why the delivery was made: `event`, `redelivery`, `replay`, `test`.
    pub origin: Option<String>,
    /// What a person should know of it beside its result.
    pub note: Option<String>,
    /// The id of the batch that it was a part of.
    pub batch: Option<String>,
}

/// What was sent and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogText {
    /// Lines of `Name: value`, as sent.
    pub request_headers: String,
    /// The body sent; `None` where the delivery is gone, or its body was not kept.
    pub request_body: Option<String>,
    /// Lines of `name: value`; `None` where there was no answer.
    pub response_headers: Option<String>,
    /// The body answered, with U+FFFD for what is not UTF-8; `None` where it was not kept, or there was
    /// no answer.
    pub response_body: Option<String>,
    /// Whether there was more of it than was kept.
    pub response_truncated: bool,
}

const COLUMNS: &str = "SELECT id, time, webhook, event, event_id, delivery_id, attempt, outcome, \
     status, error, duration_ms, url, name_ms, connect_ms, tls_ms, head_ms, body_ms, peer, class, \
     dialect, origin, note, batch";

/// The same with what a log of an earlier shape has not got, as far as this one has it; up to its conditions.
pub(super) fn columns(connection: &Connection) -> rusqlite::Result<String> {
    let proxy = match schema::has_table(connection, "log_id")? {
        true => "proxy_ms",
        false => "NULL",
    };
    Ok(format!("{COLUMNS}, {proxy} FROM log"))
}

impl Reader {
    /// The newest `rows` of the log, the oldest of them first.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn log(&self, rows: u32) -> Result<Vec<LogRow>, Error> {
        let read = || -> rusqlite::Result<Vec<LogRow>> {
            let sql = columns(&self.connection)? + " ORDER BY id DESC LIMIT ?1";
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut newest = statement
                .query_map([rows], log_row)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            newest.reverse();
            Ok(newest)
        };
        read().doing("read the newest attempts")
    }

    /// The newest `count` attempts that the filter lets through. Without `since_ms` it looks through
    /// a bounded number of rows and says where it stopped.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn newest(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error> {
        if let Some(event_id) = filter.event_id {
            return self.newest_of_event(event_id, filter, count);
        }
        let find = || -> rusqlite::Result<Newest> {
            let mut newest = Newest::default();
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            for shape in shapes(with_earlier).iter().rev() {
                let missing = count - newest.ids.len();
                if missing == 0 || newest.stopped_at_ms.is_some() {
                    break;
                }
                let from_id = match filter.since_ms {
                    None => AttemptId::NONE,
                    Some(ms) => first_id(&snapshot, shape.table, ms - OUT_OF_ORDER_MS)?,
                };
                let found = search(&snapshot, shape, filter, missing, from_id)?;
                newest.ids.extend(found.ids);
                newest.unread += found.unread;
                (newest.stopped_at_ms, newest.stopped_at) = (found.stopped_at_ms, found.stopped_at);
            }
            newest.ids.reverse();
            Ok(newest)
        };
        find().doing("look for the newest attempts")
    }

    /// Attempts with ids above `id` that the filter lets through, oldest first, out of at most
    /// `looked_through` rows, and the id of the last row looked at.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn after(
        &self,
        id: AttemptId,
        filter: &LogFilter,
        looked_through: usize,
    ) -> Result<(Vec<AttemptId>, AttemptId), Error> {
        let read = || -> rusqlite::Result<(Vec<AttemptId>, AttemptId)> {
            let (mut ids, mut last) = (Vec::new(), id);
            let mut left = looked_through;
            let (snapshot, with_earlier) = schema::at_once(&self.connection)?;
            for shape in shapes(with_earlier) {
                let mut statement = snapshot.prepare_cached(shape.after)?;
                let mut sieve = Sieve::new(&snapshot, filter, [shape.event, shape.body])?;
                let limit = i64::try_from(left).unwrap_or(i64::MAX);
                let mut rows = statement.query(params![id, limit, filter.webhook])?;
                while let Some(row) = rows.next()? {
                    last = row.get(0)?;
                    left -= 1;
                    if row.get(1)? && sieve.passes(row)? {
                        ids.push(last);
                    }
                }
            }
            Ok((ids, last))
        };
        read().doing("look for attempts after the last")
    }

    /// The first attempt of today's shape that is of that time or later, times taken to grow with the ids.
    pub(in crate::store) fn first_attempt_at(&self, time_ms: i64) -> rusqlite::Result<AttemptId> {
        first_id(&self.connection, NOW.table, time_ms)
    }

    /// The id of the newest attempt; 0 in an empty log.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn newest_id(&self) -> Result<AttemptId, Error> {
        self.connection
            .prepare_cached(next::NEWEST_ATTEMPT)
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("read the newest attempt's id")
    }

    /// One attempt; `None` where retention has taken it.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn attempt(&self, id: AttemptId) -> Result<Option<LogRow>, Error> {
        columns(&self.connection)
            .and_then(|columns| {
                let sql = columns + " WHERE id = ?1";
                let mut statement = self.connection.prepare_cached(&sql)?;
                statement.query_row([id], log_row).optional()
            })
            .doing("read an attempt")
    }

    /// The headers and bodies of one attempt; `None` where retention has taken it.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn attempt_text(&self, id: AttemptId) -> Result<Option<LogText>, Error> {
        let text = |row: &Row<'_>| {
            Ok(LogText {
                request_headers: lossy(row, 0)?.unwrap_or_default(),
                request_body: lossy(row, 1)?,
                response_headers: lossy(row, 2)?,
                response_body: lossy(row, 3)?,
                response_truncated: row.get::<_, Option<bool>>(4)?.unwrap_or(false),
            })
        };
        self.connection
            .prepare_cached(
                "SELECT request_headers, request_body, response_headers, response_body,
                        response_truncated FROM log WHERE id = ?1",
            )
            .and_then(|mut s| s.query_row([id], text).optional())
            .doing("read what was sent and answered")
    }
}

/// How the attempts of one shape are looked through. The columns of each query: id, whether it is the
/// webhook's (of `of_webhook`, the block of ids that it is in), the outcome, time, by what `event` finds the event's name
/// and id, and the status.
pub(super) struct Shape {
    table: &'static str,
    /// `?1`: from that id on, `?3`: below that one; the newest first.
    all: &'static str,
    /// The same, and no more than can be the webhook's of the name `?2`.
    of_webhook: &'static str,
    /// The ids alone of those of the event `?1`, below `?2`; the newest first, `?3` of them.
    pub(super) of_event: &'static str,
    /// That of the id `?1`; `?2` the webhook's name or NULL.
    pub(super) one: &'static str,
    /// `?1`: above that id, the oldest first, `?2` rows; `?3` the webhook's name or NULL.
    after: &'static str,
    pub(super) event: &'static str,
    /// The body that was made, by the same.
    pub(super) body: &'static str,
}

const NOW: Shape = Shape {
    table: "attempt",
    all: "SELECT id, NULL, CASE outcome WHEN 0 THEN 'retry' WHEN 2 THEN 'failed' ELSE 'delivered' END,
                 time, payload_id, status FROM attempt
           WHERE id >= ?1 AND id < ?3 AND ?2 IS NULL ORDER BY id DESC",
    // From one block of ids that has some to the next.
    of_webhook:
        "SELECT a.id, s.block,
                        CASE a.outcome WHEN 0 THEN 'retry' WHEN 2 THEN 'failed' ELSE 'delivered' END,
                        a.time, a.payload_id, a.status
                   FROM seen s CROSS JOIN attempt a
                  WHERE s.webhook_id = (SELECT id FROM webhook_name WHERE name = ?2)
                    AND s.block >= ?1 / 1024 AND s.block <= ?3 / 1024
                    AND a.id >= max(?1, s.block * 1024) AND a.id < min(?3, (s.block + 1) * 1024)
                    AND +a.webhook_id = s.webhook_id
                  ORDER BY s.block DESC, a.id DESC",
    of_event: "SELECT a.id FROM payload p CROSS JOIN attempt a ON a.payload_id = p.id
                WHERE p.event_id = ?1 AND a.id < ?2 ORDER BY a.id DESC LIMIT ?3",
    one: "SELECT id, ?2 IS NULL OR webhook_id IS (SELECT id FROM webhook_name WHERE name = ?2),
                 CASE outcome WHEN 0 THEN 'retry' WHEN 2 THEN 'failed' ELSE 'delivered' END,
                 time, payload_id, status FROM attempt WHERE id = ?1",
    after: "SELECT id, ?3 IS NULL OR webhook_id IS (SELECT id FROM webhook_name WHERE name = ?3),
                   CASE outcome WHEN 0 THEN 'retry' WHEN 2 THEN 'failed' ELSE 'delivered' END,
                   time, payload_id, status
              FROM attempt WHERE id > ?1 ORDER BY id LIMIT ?2",
    event: "SELECT event, event_id FROM payload WHERE id = ?1",
    body: "SELECT body FROM payload WHERE id = ?1",
};

const EARLIER: Shape = Shape {
    table: "old_attempt",
    all: "SELECT id, NULL, outcome, time, delivery_id, status FROM old_attempt
           WHERE id >= ?1 AND id < ?3 AND ?2 IS NULL ORDER BY id DESC",
    of_webhook: "SELECT id, NULL, outcome, time, delivery_id, status FROM old_attempt
                  WHERE id >= ?1 AND id < ?3 AND webhook = ?2 ORDER BY id DESC",
    of_event: "SELECT a.id FROM old_delivery d CROSS JOIN old_attempt a ON a.delivery_id = d.id
                WHERE d.event_id = ?1 AND a.id < ?2 ORDER BY a.id DESC LIMIT ?3",
    one: "SELECT id, ?2 IS NULL OR webhook = ?2, outcome, time, delivery_id, status
            FROM old_attempt WHERE id = ?1",
    after: "SELECT id, ?3 IS NULL OR webhook = ?3, outcome, time, delivery_id, status
              FROM old_attempt WHERE id > ?1 ORDER BY id LIMIT ?2",
    event: "SELECT event, event_id FROM old_delivery WHERE id = ?1",
    body: "SELECT p.body FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id WHERE d.id = ?1",
};

/// The shapes that there are attempts of, the one with the older ids first.
pub(super) fn shapes(with_earlier: bool) -> &'static [Shape] {
    const BOTH: [Shape; 2] = [EARLIER, NOW];
    if with_earlier { &BOTH } else { &[NOW] }
}

/// The ids from the newest down to `from_id`, newest first.
fn search(
    connection: &Connection,
    shape: &Shape,
    filter: &LogFilter,
    count: usize,
    from_id: AttemptId,
) -> rusqlite::Result<Newest> {
    let mut newest = Newest::default();
    if count == 0 {
        return Ok(newest);
    }
    let mut statement = connection.prepare_cached(match filter.webhook {
        None => shape.all,
        Some(_) => shape.of_webhook,
    })?;
    let mut sieve = Sieve::new(connection, filter, [shape.event, shape.body])?;
    let before = filter.before.unwrap_or(AttemptId::new(i64::MAX));
    let bound = match (filter.looked_through, filter.since_ms) {
        (Some(bound), _) => bound,
        (None, None) => LOOKED_THROUGH,
        (None, Some(_)) => usize::MAX,
    };
    let (passed_over, bodies_bytes) = match (filter.looked_through, filter.since_ms) {
        (Some(_), _) => (PASSED_OVER_AT_ONCE, BODIES_BYTES_AT_ONCE),
        (None, None) => (PASSED_OVER, BODIES_BYTES),
        (None, Some(_)) => (PASSED_OVER, usize::MAX),
    };
    let mut rows = statement.query(params![from_id, filter.webhook, before])?;
    let (mut looked_through, mut others, mut last_block) = (0, 0, None);
    while let Some(row) = rows.next()? {
        let block: Option<i64> = row.get(1)?;
        if block != last_block {
            // The rows of others in it were passed over.
            others += BLOCK_ROWS;
            last_block = block;
        }
        looked_through += 1;
        if sieve.passes(row)? {
            newest.ids.push(row.get(0)?);
            if newest.ids.len() >= count {
                break;
            }
        }
        if looked_through + others / passed_over >= bound || sieve.read_bytes >= bodies_bytes {
            (newest.stopped_at_ms, newest.stopped_at) = (Some(row.get(3)?), Some(row.get(0)?));
            break;
        }
    }
    newest.unread = sieve.unread;
    Ok(newest)
}

/// The first id of a table, in their order, whose attempt is of that time or later; one above the last
/// where there is none. Times are taken to grow with the ids.
fn first_id(connection: &Connection, table: &str, time_ms: i64) -> rusqlite::Result<AttemptId> {
    let (mut low, mut high): (i64, i64) = connection.query_row(
        &format!(
            "SELECT coalesce((SELECT min(id) FROM {table}), 0),
                    coalesce((SELECT max(id) FROM {table}), 0) + 1"
        ),
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut at = connection.prepare_cached(&format!(
        "SELECT id, time FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1"
    ))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = at
            .query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match found {
            Some((id, time)) if time < time_ms => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(AttemptId::new(low))
}

pub(super) fn log_row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        id: row.get(0)?,
        time: row.get(1)?,
        webhook: row.get(2)?,
        event: row.get(3)?,
        event_id: row.get(4)?,
        delivery_id: row.get(5)?,
        attempt: row.get(6)?,
        outcome: row.get(7)?,
        status: row.get(8)?,
        error: row.get(9)?,
        duration_ms: row.get(10)?,
        url: row.get(11)?,
        phases_ms: [
            row.get(12)?,
            row.get(13)?,
            row.get(23)?,
            row.get(14)?,
            row.get(15)?,
            row.get(16)?,
        ],
        peer: row.get(17)?,
        class: row.get(18)?,
        dialect: row.get(19)?,
        origin: row.get(20)?,
        note: row.get(21)?,
        batch: row.get(22)?,
    })
}

fn lossy(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(at)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempts(times: &[(i64, i64)]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let made = "CREATE TABLE attempt (id INTEGER PRIMARY KEY, time INTEGER NOT NULL)";
        connection.execute_batch(made).unwrap();
        for row in times {
            let insert = "INSERT INTO attempt VALUES (?1, ?2)";
            connection.execute(insert, *row).unwrap();
        }
        connection
    }

    proptest! {
        #[test]
        fn a_time_is_found_among_ids_with_gaps(
            steps in proptest::collection::vec((1_i64..50, 0_i64..20), 0..30), sought in 0_i64..400
        ) {
            let (mut id, mut time) = (0, 0);
            let rows: Vec<(i64, i64)> = steps
                .into_iter()
                .map(|(gap, later)| {
                    (id, time) = (id + gap, time + later);
                    (id, time)
                })
                .collect();
            let found = first_id(&attempts(&rows), "attempt", sought).unwrap();
            // Every row from there on is late enough, and none before it.
            for (id, time) in rows {
                prop_assert_eq!(id >= found.get(), time >= sought);
            }
        }
    }
}
