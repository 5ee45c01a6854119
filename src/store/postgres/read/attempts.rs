//! Attempts: a search from the newest backwards, by pages of heads; bodies are read of those alone that are asked for.

use tokio_postgres::Row;

use super::{Read, Reader, int, word};
use crate::filter::Judge;
use crate::model::{AttemptId, DeliveryId, EventId};
use crate::store::Error;
use crate::store::read::{LogFilter, LogRow, LogText, Newest, Outcome};

/// Without a time to stop at, so many rows are looked through.
const LOOKED_THROUGH: usize = 50_000;

/// Rows of one statement.
const PAGE: i64 = 1_000;

/// Attempts of one event that are looked at: ten thousand webhooks may have some each.
const OF_EVENT: i64 = 2_000;

/// So many bytes of bodies are read at most where something is asked of them.
const BODIES_BYTES: usize = 256 << 20;
const BODIES_BYTES_AT_ONCE: usize = 8 << 20;

/// Attempts are committed when they end, and small steps of the clock put times out of order: so much before a time the
/// search for it begins.
const OUT_OF_ORDER_MS: i64 = 600_000;

const COLUMNS: &str = "SELECT id, time, webhook, event, event_id, delivery_id, attempt::int8, outcome, status::int8, \
     error, duration_ms, url, name_ms, connect_ms, proxy_ms, tls_ms, head_ms, body_ms, peer, class, dialect, origin, \
     note, batch FROM webhooksd.log";

/// The head of a row: what a filter asks of it.
const HEADS: &str =
    "SELECT a.id, a.time, CASE a.outcome WHEN 'again' THEN 'delivered' ELSE a.outcome END, a.status::int8, a.payload_id, p.event, p.event_id, a.webhook
   FROM webhooksd.attempt a LEFT JOIN webhooksd.payload p ON p.id = a.payload_id";

struct Head {
    id: i64,
    time_ms: i64,
    outcome: String,
    status: Option<i64>,
    payload_id: i64,
    event: Option<String>,
    event_id: Option<i64>,
    webhook: String,
}

fn head(row: &Row) -> Read<Head> {
    Ok(Head {
        id: row.try_get(0)?,
        time_ms: row.try_get(1)?,
        outcome: row.try_get(2)?,
        status: row.try_get(3)?,
        payload_id: row.try_get(4)?,
        event: row.try_get(5)?,
        event_id: row.try_get(6)?,
        webhook: row.try_get(7)?,
    })
}

impl Head {
    /// Whether a filter wants it, but for its body.
    fn is_wanted(&self, filter: &LogFilter) -> bool {
        let delivered = self.outcome == Outcome::Delivered.word();
        let event = self.event.as_deref().unwrap_or_default();
        !(filter.failed && delivered)
            && filter.outcome.is_none_or(|o| o.word() == self.outcome)
            && filter.since_ms.is_none_or(|ms| self.time_ms >= ms)
            && filter.status.is_none_or(|s| s.holds(self.status))
            && (filter.webhook.as_ref()).is_none_or(|name| *name == self.webhook)
            && (filter.event.as_ref()).is_none_or(|p| self.event.is_some() && p.matches(event))
            && (filter.event_id).is_none_or(|id| self.event_id == Some(id.get()))
            && filter.before.is_none_or(|before| self.id < before.get())
    }
}

/// What is asked of bodies, at work.
struct Bodies {
    judge: Judge,
    /// The last payload that was judged.
    last: Option<(i64, Option<bool>)>,
    read_bytes: usize,
    unread: usize,
}

impl Bodies {
    fn new(filter: &LogFilter) -> Self {
        Self {
            judge: Judge::new(&filter.body),
            last: None,
            read_bytes: 0,
            unread: 0,
        }
    }

    fn hold(&mut self, reader: &Reader, filter: &LogFilter, payload: i64) -> Result<bool, Error> {
        if filter.body.is_empty() {
            return Ok(true);
        }
        let known = self.last.filter(|(last, _)| *last == payload);
        let holds = if let Some((_, holds)) = known {
            holds
        } else {
            let sql = "SELECT body FROM webhooksd.payload WHERE id = $1";
            let body = reader.first("read a body", sql, &[int(&payload)], |row| row.try_get(0))?;
            let body: Option<String> = body.flatten();
            let holds = body.map(|body| {
                self.read_bytes += body.len();
                self.judge.first_failing(&body).is_none()
            });
            self.last = Some((payload, holds));
            holds
        };
        self.unread += usize::from(holds.is_none());
        Ok(holds.unwrap_or(false))
    }
}

fn log_row(row: &Row) -> Read<LogRow> {
    Ok(LogRow {
        id: AttemptId::new(row.try_get(0)?),
        time: row.try_get(1)?,
        webhook: row.try_get(2)?,
        event: row.try_get(3)?,
        event_id: row.try_get::<_, Option<i64>>(4)?.map(EventId::new),
        delivery_id: DeliveryId::new(row.try_get(5)?),
        attempt: row.try_get(6)?,
        outcome: row.try_get(7)?,
        status: row.try_get(8)?,
        error: row.try_get(9)?,
        duration_ms: row.try_get(10)?,
        url: row.try_get(11)?,
        phases_ms: [
            row.try_get(12)?,
            row.try_get(13)?,
            row.try_get(14)?,
            row.try_get(15)?,
            row.try_get(16)?,
            row.try_get(17)?,
        ],
        peer: row.try_get(18)?,
        class: row.try_get(19)?,
        dialect: row.try_get(20)?,
        origin: row.try_get(21)?,
        note: row.try_get(22)?,
        batch: row.try_get(23)?,
    })
}

impl Reader {
    pub(super) fn newest_rows(&self, rows: u32) -> Result<Vec<LogRow>, Error> {
        let sql = format!("{COLUMNS} ORDER BY id DESC LIMIT $1");
        let rows = i64::from(rows);
        let mut newest = self.all("read the newest attempts", &sql, &[int(&rows)], log_row)?;
        newest.reverse();
        Ok(newest)
    }

    pub(super) fn rows_of(&self, id: DeliveryId, most: u32) -> Result<Vec<LogRow>, Error> {
        let sql = format!("{COLUMNS} WHERE delivery_id = $1 ORDER BY id DESC LIMIT $2");
        let (id, most) = (id.get(), i64::from(most));
        self.all(
            "read a delivery's attempts",
            &sql,
            &[int(&id), int(&most)],
            log_row,
        )
    }

    pub(super) fn one(&self, id: AttemptId) -> Result<Option<LogRow>, Error> {
        let sql = format!("{COLUMNS} WHERE id = $1");
        self.first("read an attempt", &sql, &[int(&id.get())], log_row)
    }

    pub(super) fn text_of(&self, id: AttemptId) -> Result<Option<LogText>, Error> {
        let sql = "SELECT request_headers, request_body, response_headers, response_body, response_truncated = 1
             FROM webhooksd.log WHERE id = $1";
        self.first(
            "read what was sent and answered",
            sql,
            &[int(&id.get())],
            |row| {
                let answered: Option<Vec<u8>> = row.try_get(3)?;
                Ok(LogText {
                    request_headers: row.try_get(0)?,
                    request_body: row.try_get(1)?,
                    response_headers: row.try_get(2)?,
                    response_body: answered.map(|body| String::from_utf8_lossy(&body).into_owned()),
                    response_truncated: row.try_get::<_, Option<bool>>(4)?.unwrap_or(false),
                })
            },
        )
    }

    pub(super) fn last_id(&self) -> Result<AttemptId, Error> {
        let sql = "SELECT coalesce(max(id), 0) FROM webhooksd.attempt";
        let id = self.value("read the newest attempt's id", sql, &[])?;
        Ok(AttemptId::new(id))
    }

    /// The first attempt of that time or later, times taken to grow with the ids; one above the last where none is.
    fn first_at(&self, time_ms: i64) -> Result<i64, Error> {
        const STEP: &str = "look for an attempt of a time";
        let ends = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) + 1 FROM webhooksd.attempt";
        let ends = self.first(STEP, ends, &[], |row| {
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))
        })?;
        let (mut low, mut high) = ends.unwrap_or((0, 1));
        let at = "SELECT id, time FROM webhooksd.attempt WHERE id >= $1 ORDER BY id LIMIT 1";
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.first(STEP, at, &[int(&middle)], |row| {
                Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))
            })?;
            match found {
                Some((id, time)) if time < time_ms => low = id + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    pub(super) fn grown_since(&self, time_ms: i64) -> Result<(i64, i64), Error> {
        let first = self.first_at(time_ms)?;
        let sql = "SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM webhooksd.attempt";
        let ends = self.first("look how fast the log grows", sql, &[], |row| {
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))
        })?;
        let (least, last) = ends.unwrap_or((0, -1));
        Ok(((last + 1 - first).max(0), last + 1 - least))
    }

    pub(super) fn oldest_ended(&self) -> Result<Option<i64>, Error> {
        let sql = "SELECT a.time, EXISTS (SELECT FROM webhooksd.pending q WHERE q.id = a.delivery_id)
             FROM (SELECT id, time, delivery_id FROM webhooksd.attempt ORDER BY id LIMIT 1000) a ORDER BY a.id";
        let all = self.all("look for the oldest attempt", sql, &[], |row| {
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, bool>(1)?))
        })?;
        let ended = all.iter().find(|(_, is_pending)| !is_pending);
        Ok(ended.or(all.last()).map(|(time, _)| *time))
    }

    pub(super) fn search(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error> {
        const STEP: &str = "look for the newest attempts";
        if filter.event_id.is_some() {
            return self.search_event(filter, count);
        }
        let mut newest = Newest::default();
        let from = match filter.since_ms {
            None => 0,
            Some(ms) => self.first_at(ms - OUT_OF_ORDER_MS)?,
        };
        let (bound, bytes) = match (filter.looked_through, filter.since_ms) {
            (Some(bound), _) => (bound, BODIES_BYTES_AT_ONCE),
            (None, None) => (LOOKED_THROUGH, BODIES_BYTES),
            (None, Some(_)) => (usize::MAX, usize::MAX),
        };
        // Only the part that is asked for, so that the planner sees an index for each.
        let of_webhook = match filter.webhook {
            None => "$4 = $4",
            Some(_) => "a.webhook = $4",
        };
        let sql = format!(
            "{HEADS} WHERE a.id >= $1 AND a.id < $2 AND {of_webhook} ORDER BY a.id DESC LIMIT $3"
        );
        let webhook = filter.webhook.as_deref().unwrap_or_default();
        let mut bodies = Bodies::new(filter);
        let mut before = filter.before.map_or(i64::MAX, AttemptId::get);
        let mut looked_through = 0;
        'pages: while newest.ids.len() < count {
            let values = [int(&from), int(&before), int(&PAGE), word(&webhook)];
            let page = self.all(STEP, &sql, &values, head)?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            for head in &page {
                before = head.id;
                looked_through += 1;
                if head.is_wanted(filter) && bodies.hold(self, filter, head.payload_id)? {
                    newest.ids.push(AttemptId::new(head.id));
                    if newest.ids.len() >= count {
                        break 'pages;
                    }
                }
                if looked_through >= bound || bodies.read_bytes >= bytes {
                    newest.stopped_at_ms = Some(head.time_ms);
                    newest.stopped_at = Some(AttemptId::new(head.id));
                    break 'pages;
                }
            }
            if is_last {
                break;
            }
        }
        newest.unread = bodies.unread;
        newest.ids.reverse();
        Ok(newest)
    }

    /// Of one event: by its id they are found without a search.
    fn search_event(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error> {
        let sql = format!("{HEADS} WHERE p.event_id = $1 ORDER BY a.id DESC LIMIT $2");
        let event = filter.event_id.map_or(0, EventId::get);
        let values = [int(&event), int(&OF_EVENT)];
        let heads = self.all("look for an event's attempts", &sql, &values, head)?;
        let (mut newest, mut bodies) = (Newest::default(), Bodies::new(filter));
        for head in heads.iter().filter(|head| head.is_wanted(filter)) {
            if bodies.hold(self, filter, head.payload_id)? {
                newest.ids.push(AttemptId::new(head.id));
                if newest.ids.len() >= count {
                    break;
                }
            }
        }
        newest.unread = bodies.unread;
        newest.ids.reverse();
        Ok(newest)
    }

    pub(super) fn behind_id(
        &self,
        id: AttemptId,
        filter: &LogFilter,
        looked_through: usize,
    ) -> Result<(Vec<AttemptId>, AttemptId), Error> {
        let sql = format!("{HEADS} WHERE a.id > $1 ORDER BY a.id LIMIT $2");
        let rows = i64::try_from(looked_through).unwrap_or(i64::MAX);
        let from = id.get();
        let values = [int(&from), int(&rows)];
        let heads = self.all("look for attempts after the last", &sql, &values, head)?;
        let last = heads.last().map_or(id, |head| AttemptId::new(head.id));
        let (mut ids, mut bodies) = (Vec::new(), Bodies::new(filter));
        for head in heads {
            if head.is_wanted(filter) && bodies.hold(self, filter, head.payload_id)? {
                ids.push(AttemptId::new(head.id));
            }
        }
        Ok((ids, last))
    }

    /// Another number where a transaction has ended since.
    pub(super) fn seen(&self) -> Result<i64, Error> {
        let sql = "SELECT hashtextextended(pg_current_snapshot()::text, 0)";
        self.value("look whether something was committed", sql, &[])
    }

    pub(super) fn aside_since(&self, time_ms: i64) -> Result<i64, Error> {
        let sql = "SELECT count(*) FROM (SELECT time FROM webhooksd.rejected ORDER BY id DESC LIMIT 1000) r
            WHERE time >= $1";
        self.value("count rows set aside", sql, &[int(&time_ms)])
    }
}
