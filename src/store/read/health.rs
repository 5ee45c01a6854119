//! How each webhook is doing, out of the roll-up: as fast with a million attempts as with ten.
//!
//! Counts are bounded where there is no roll-up for them: pending deliveries are counted to a limit,
//! and deliveries given up are looked for among the newest of a webhook. What is in flight only the
//! daemon knows.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::{Count, HeldOf, Reader};
use crate::model::{LOG_BUCKETS, LOG_EDGES_MS, Pause};
use crate::store::error::Doing;
use crate::store::{Error, schema};

/// Deliveries given up in the last hour are looked for among so many of the webhook's newest.
const LOOKED_THROUGH: i64 = 1_000;

pub(super) const HOUR_MS: i64 = 3_600_000;

pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

const HOURS: usize = 24;

/// Attempts above the last edge are said to have taken so long, but for those of a webhook that waits longer.
const ABOVE_MS: i64 = 15_000;

/// One webhook, as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookHealth {
    /// Its name.
    pub name: String,
    /// `active` or `inactive`.
    pub state: String,
    /// Deliveries that are pending.
    pub pending: Count,
    /// When an attempt was last delivered, UNIX milliseconds.
    pub last_success_ms: Option<i64>,
    /// When an attempt was last no success, UNIX milliseconds.
    pub last_failure_ms: Option<i64>,
    /// Why it was none.
    pub last_error: Option<String>,
    /// The last hour, in steps of 5 minutes.
    pub hour: Lately,
    /// The last day, in steps of an hour: what the view `health` says of it.
    pub day: Lately,
    /// The last 24 hours by the clock, the oldest first; the last one is not over.
    pub hours: [HourCounts; HOURS],
    /// Deliveries given up in the last hour that nobody has sent again, without tests; at most a
    /// thousand are seen.
    pub given_up: i64,
    /// Until when its endpoint asked to wait, UNIX milliseconds, where that is not over.
    pub held_until_ms: Option<i64>,
    /// What its order holds back, where that is something.
    pub held: Option<HeldOf>,
    /// Its pause, where one is in force.
    pub pause: Option<Pause>,
}

/// Attempts of the last hour, or of the last day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lately {
    /// All of them.
    pub attempts: i64,
    /// Those that were no success.
    pub failures: i64,
    /// Half of them took at most so many milliseconds: the upper edge of a bucket.
    pub p50_ms: Option<i64>,
    /// 99 in 100 of them took at most so many milliseconds.
    pub p99_ms: Option<i64>,
}

/// Attempts of one hour by the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HourCounts {
    /// All of them.
    pub attempts: i64,
    /// Those that were no success.
    pub failures: i64,
}

impl Lately {
    /// Out of attempts and failures, and how many took at most what each edge says; `above_ms`: what is said of those
    /// above the last, where that is not the usual.
    pub(in crate::store) fn of(
        (attempts, failures): (i64, i64),
        within: &[i64],
        above_ms: Option<i64>,
    ) -> Self {
        let above_ms = above_ms.unwrap_or(ABOVE_MS);
        let part = |percent| percentile((attempts, within), above_ms, percent);
        Self {
            attempts,
            failures,
            p50_ms: part(50),
            p99_ms: part(99),
        }
    }
}

impl WebhookHealth {
    /// Whether somebody should look: the webhook is active, and it gave a delivery up in the last
    /// hour that nobody has sent again, or one that it gave up holds its line, whenever that was, or its newest attempt
    /// failed, none of the last hour was delivered, and there is something to deliver or was in that hour.
    #[must_use]
    pub(crate) fn is_failing(&self) -> bool {
        let newest_failed = self.last_failure_ms > self.last_success_ms;
        let none_delivered = self.hour.attempts == self.hour.failures;
        let busy = self.hour.attempts > 0 || self.pending.count > 0;
        let holding = self
            .held
            .as_ref()
            .is_some_and(|held| held.holding.is_some());
        let failed = self.given_up > 0 || holding;
        self.state == "active" && (failed || newest_failed && none_delivered && busy)
    }
}

impl Reader {
    /// Every webhook that the daemon knew when it last ran, by name.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn health(&self, now_ms: i64) -> Result<Vec<WebhookHealth>, Error> {
        let step = "read how the webhooks are doing";
        let connection = &self.connection;
        let mut webhooks = webhooks(connection).doing(step)?;
        let patient = patient(connection).doing(step)?;
        let last_hour = lately(connection, &patient, "5min", now_ms - HOUR_MS).doing(step)?;
        let last_day = lately(connection, &patient, "hour", now_ms - DAY_MS).doing(step)?;
        let by_hour = by_hour(connection, now_ms).doing(step)?;
        let queued = self.queued()?;
        let held = self.held(now_ms)?;
        for pause in self.pauses(now_ms)? {
            if let Some(of) = webhooks.iter_mut().find(|w| *w.name == *pause.webhook) {
                of.pause = Some(pause);
            }
        }
        for webhook in &mut webhooks {
            webhook.hour = last_hour.get(&webhook.name).copied().unwrap_or_default();
            webhook.day = last_day.get(&webhook.name).copied().unwrap_or_default();
            webhook.hours = by_hour.get(&webhook.name).copied().unwrap_or_default();
            let in_hand = queued.get(&webhook.name).copied().unwrap_or_default();
            webhook.pending = self.pending_of(&webhook.name, in_hand)?;
            webhook.held_until_ms = held.get(&webhook.name).copied();
            webhook.held = self.held_of(&webhook.name)?;
            webhook.given_up = given_up(connection, &webhook.name, now_ms - HOUR_MS).doing(step)?;
        }
        Ok(webhooks)
    }
}

fn webhooks(connection: &Connection) -> rusqlite::Result<Vec<WebhookHealth>> {
    connection
        .prepare_cached(
            "SELECT name, state, last_success_at, last_failure_at, last_error
               FROM webhook WHERE state <> 'removed' ORDER BY name",
        )?
        .query_map([], webhook_row)?
        .collect()
}

/// A webhook by its own row: name, state, last success, last failure, last error.
pub(super) fn webhook_row(row: &Row<'_>) -> rusqlite::Result<WebhookHealth> {
    Ok(WebhookHealth {
        name: row.get(0)?,
        state: row.get(1)?,
        pending: Count::default(),
        last_success_ms: row.get(2)?,
        last_failure_ms: row.get(3)?,
        last_error: row.get(4)?,
        hour: Lately::default(),
        day: Lately::default(),
        hours: Default::default(),
        given_up: 0,
        held_until_ms: None,
        held: None,
        pause: None,
    })
}

/// What attempts above the last edge are said to have taken, of webhooks that wait longer; none in a log of a shape
/// before there were such.
pub(super) fn patient(connection: &Connection) -> rusqlite::Result<HashMap<String, i64>> {
    if !schema::has_table(connection, "patient")? {
        return Ok(HashMap::new());
    }
    connection
        .prepare_cached("SELECT webhook, above_ms FROM patient")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn lately(
    connection: &Connection,
    patient: &HashMap<String, i64>,
    span: &str,
    since_ms: i64,
) -> rusqlite::Result<HashMap<String, Lately>> {
    let sums = sums();
    let sql = format!(
        "SELECT webhook, sum(attempts), sum(failures){sums} FROM rollup
          WHERE span = ?1 AND start > ?2 GROUP BY webhook"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![span, since_ms], |row| {
            let name: String = row.get(0)?;
            let lately = lately_row(row, patient.get(&name).copied())?;
            Ok((name, lately))
        })?
        .collect()
}

/// The sums over the buckets.
pub(super) fn sums() -> String {
    let sum = |edge| format!(", sum(le_{edge})");
    LOG_EDGES_MS.iter().map(sum).collect()
}

/// Out of a row of attempts, failures and [`sums`] behind a name.
pub(super) fn lately_row(row: &Row<'_>, above_ms: Option<i64>) -> rusqlite::Result<Lately> {
    let attempts = row.get(1)?;
    let mut within = [0; LOG_BUCKETS];
    for (index, count) in within.iter_mut().enumerate() {
        *count = row.get(index + 3)?;
    }
    Ok(Lately::of((attempts, row.get(2)?), &within, above_ms))
}

/// The upper edge of the bucket that `percent` in 100 do not exceed; `above_ms` is that of the last.
fn percentile((attempts, within): (i64, &[i64]), above_ms: i64, percent: i64) -> Option<i64> {
    if attempts == 0 {
        return None;
    }
    let index = within.iter().position(|n| n * 100 >= attempts * percent);
    Some(index.map_or(above_ms, |index| LOG_EDGES_MS[index]))
}

fn by_hour(
    connection: &Connection,
    now_ms: i64,
) -> rusqlite::Result<HashMap<String, [HourCounts; HOURS]>> {
    let this_hour = now_ms - now_ms.rem_euclid(HOUR_MS);
    let first = this_hour - HOUR_MS * 23;
    let mut hours: HashMap<String, [HourCounts; HOURS]> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT webhook, start, attempts, failures FROM rollup
          WHERE span = 'hour' AND start BETWEEN ?1 AND ?2",
    )?;
    let mut rows = statement.query([first, this_hour])?;
    while let Some(row) = rows.next()? {
        let index = usize::try_from((row.get::<_, i64>(1)? - first) / HOUR_MS).unwrap_or(0);
        if let Some(hour) = hours.entry(row.get(0)?).or_default().get_mut(index) {
            hour.attempts += row.get::<_, i64>(2)?;
            hour.failures += row.get::<_, i64>(3)?;
        }
    }
    Ok(hours)
}

pub(super) fn given_up(
    connection: &Connection,
    webhook: &str,
    since_ms: i64,
) -> rusqlite::Result<i64> {
    // Of several redeliveries of one only the last counts: the others were sent again by it.
    const NEWEST: &str = "SELECT e.id, e.finished_at, e.origin <> 3 AND NOT (e.origin = 1
          AND EXISTS (SELECT 1 FROM ended o INDEXED BY ended_payload JOIN redelivery r ON r.delivery_id = o.id
                       WHERE o.payload_id = e.payload_id AND o.webhook_id = e.webhook_id
                         AND r.new_delivery_id > e.id)) AS real
       FROM ended e
      WHERE e.state = 0 AND e.webhook_id = (SELECT id FROM webhook_name WHERE name = ?1)";
    const EARLIER: &str = "SELECT id, finished_at, origin <> 'test' AS real FROM old_delivery
      WHERE state = 'failed' AND webhook = ?1";
    let mut all = 0;
    let (snapshot, with_earlier) = schema::at_once(connection)?;
    for from in [Some(NEWEST), with_earlier.then_some(EARLIER)]
        .into_iter()
        .flatten()
    {
        let sql = format!(
            "SELECT count(*) FROM ({from} ORDER BY id DESC LIMIT ?2) d
              WHERE d.finished_at > ?3 AND d.real
                AND NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = d.id)"
        );
        all += snapshot
            .prepare_cached(&sql)?
            .query_row(params![webhook, LOOKED_THROUGH, since_ms], |row| {
                row.get::<_, i64>(0)
            })?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeliveryId;
    use crate::store::Holding;

    #[test]
    fn a_percentile_is_the_upper_edge_of_its_bucket() {
        let mut within = [10; LOG_BUCKETS];
        within[..4].copy_from_slice(&[0, 4, 5, 9]);
        assert_eq!(percentile((10, &within), 15_000, 50), Some(3));
        assert_eq!(percentile((10, &within), 15_000, 90), Some(5));
        assert_eq!(percentile((10, &within), 15_000, 99), Some(10));
        assert_eq!(percentile((11, &within), 15_000, 99), Some(15_000));
        assert_eq!(percentile((0, &[0; LOG_BUCKETS]), 15_000, 50), None);
    }

    fn well() -> WebhookHealth {
        WebhookHealth {
            name: "erp".into(),
            state: "active".into(),
            pending: Count::default(),
            last_success_ms: Some(5),
            last_failure_ms: Some(4),
            last_error: None,
            hour: Lately {
                attempts: 2,
                failures: 1,
                ..Lately::default()
            },
            day: Lately::default(),
            hours: Default::default(),
            given_up: 0,
            held_until_ms: None,
            held: None,
            pause: None,
        }
    }

    #[test]
    fn what_holds_its_line_is_failing_however_long_ago_it_was_given_up() {
        let held = |holding| WebhookHealth {
            held: Some(HeldOf {
                count: Count::default(),
                holding,
            }),
            ..well()
        };
        assert!(!held(None).is_failing(), "it waits for its turn");
        let holding = Holding {
            count: Count::default(),
            oldest: DeliveryId::new(1),
            since_ms: 1,
        };
        assert!(held(Some(holding)).is_failing());
    }

    #[test]
    fn failing_is_what_somebody_should_look_at() {
        let well = well();
        assert!(!well.is_failing());
        let one = WebhookHealth {
            last_failure_ms: Some(6),
            ..well.clone()
        };
        assert!(
            !one.is_failing(),
            "another attempt of the hour was delivered"
        );
        let all = WebhookHealth {
            hour: Lately {
                attempts: 2,
                failures: 2,
                ..Lately::default()
            },
            ..one.clone()
        };
        assert!(all.is_failing());
        let long_ago = WebhookHealth {
            hour: Lately::default(),
            ..one
        };
        assert!(
            !long_ago.is_failing(),
            "nothing waits and nothing was tried"
        );
        let waiting = WebhookHealth {
            pending: Count {
                count: 1,
                more: false,
            },
            ..long_ago
        };
        assert!(waiting.is_failing());
        let given_up = WebhookHealth {
            given_up: 1,
            ..well
        };
        assert!(given_up.is_failing());
        let inactive = WebhookHealth {
            state: "inactive".into(),
            ..given_up
        };
        assert!(!inactive.is_failing());
    }
}
