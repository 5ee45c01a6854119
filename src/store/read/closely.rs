//! How some webhooks are doing, each by lookups of its own: those of one page, out of ten thousand that there may be.
//! And which of all of them somebody should look at first, without reading how each is.
//!
//! A webhook costs some 150 lookups by key, whatever the log's size. What is asked of all webhooks at once is `health`'s.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Reader;
use super::health::{
    DAY_MS, HOUR_MS, HourCounts, Lately, WebhookHealth, given_up, lately_row, patient, sums,
    webhook_row,
};
use crate::store::Error;
use crate::store::error::Doing as _;

/// The webhooks whose state is looked at to find those that fail: a page of the overview has fewer, and more that
/// fail at a time stand behind these.
const CHECKED: usize = 100;

/// Days of the longest picture.
const DAYS: usize = 30;

/// The roll-up keeps hours for two days and days from then on; some hours more may wait for the sweep.
const HOURS_KEPT: i64 = 72;

const STEP: &str = "read how a webhook is doing";

/// One webhook, with what only a page asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closely {
    /// How it is doing.
    pub health: WebhookHealth,
    /// When the oldest that is pending was made, UNIX milliseconds; of many, the oldest of those due first.
    pub oldest_pending_ms: Option<i64>,
    /// The last 30 days by the clock, UTC, the oldest first; the last one is not over.
    pub days: [HourCounts; DAYS],
}

/// What is asked of all webhooks at once, and costs the same for one.
struct Common {
    now_ms: i64,
    patient: HashMap<String, i64>,
    queued: HashMap<String, (i64, i64)>,
    held: HashMap<String, i64>,
}

impl Reader {
    /// These webhooks, in this order; one that the daemon does not know, or that left, is left out.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn closely(&self, names: &[String], now_ms: i64) -> Result<Vec<Closely>, Error> {
        let common = Common {
            now_ms,
            patient: patient(&self.connection).doing(STEP)?,
            queued: queued(&self.connection).doing(STEP)?,
            held: self.held(now_ms)?,
        };
        let mut pauses = self.pauses(now_ms)?;
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let Some(mut one) = self.one_closely(name, &common)? else {
                continue;
            };
            let paused = pauses.iter().position(|pause| *pause.webhook == **name);
            one.health.pause = paused.map(|at| pauses.swap_remove(at));
            all.push(one);
        }
        Ok(all)
    }

    fn one_closely(&self, name: &str, common: &Common) -> Result<Option<Closely>, Error> {
        let (connection, now_ms) = (&self.connection, common.now_ms);
        let Some(mut health) = row(connection, name).doing(STEP)? else {
            return Ok(None);
        };
        let above_ms = common.patient.get(name).copied();
        let lately = |span, length_ms, back_ms| {
            let first = start_of(now_ms - back_ms, length_ms) + length_ms;
            lately(connection, (span, length_ms, first), name, above_ms)
        };
        let five_minutes_ms = HOUR_MS / 12;
        health.hour = lately("5min", five_minutes_ms, HOUR_MS).doing(STEP)?;
        health.day = lately("hour", HOUR_MS, DAY_MS).doing(STEP)?;
        let days = by_time(connection, name, now_ms, &mut health.hours).doing(STEP)?;
        let (in_hand, oldest) = common
            .queued
            .get(name)
            .map_or((0, None), |(count, oldest)| (*count, Some(*oldest)));
        health.pending = self.pending_of(name, in_hand)?;
        health.held_until_ms = common.held.get(name).copied();
        health.held = self.held_of(name)?;
        health.given_up = given_up(connection, name, now_ms - HOUR_MS).doing(STEP)?;
        let parked = oldest_parked(connection, name).doing(STEP)?;
        Ok(Some(Closely {
            health,
            oldest_pending_ms: oldest.into_iter().chain(parked).min(),
            days,
        }))
    }

    /// The names of all webhooks that the daemon knows, by name, those first that somebody should look at: paused, or
    /// failing as [`WebhookHealth::is_failing`] says it. Where more than a hundred may be failing, the others of these
    /// stand behind them, unjudged.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn by_need(&self, now_ms: i64) -> Result<Vec<String>, Error> {
        let connection = &self.connection;
        let standing = standing(connection, now_ms).doing(STEP)?;
        let pauses = self.pauses(now_ms)?;
        let paused: HashSet<&str> = pauses.iter().map(|pause| &*pause.webhook).collect();
        let holding = self.holding_names()?;
        let mut doubtful: Vec<(i64, usize)> = standing
            .iter()
            .enumerate()
            .filter_map(|(place, one)| Some((one.doubt?, place)))
            .collect();
        doubtful.sort_unstable_by(|a, b| b.cmp(a));
        let mut ranks = vec![2_u8; standing.len()];
        for (number, (_, place)) in doubtful.into_iter().enumerate() {
            ranks[place] = match number < CHECKED {
                true if self.fails(&standing[place], now_ms)? => 0,
                true => 2,
                false => 1,
            };
        }
        let mut all: Vec<(u8, String)> = Vec::with_capacity(standing.len());
        for (one, rank) in standing.into_iter().zip(ranks) {
            let holds = one.is_active && holding.contains(&one.name);
            let needs = holds || paused.contains(&*one.name);
            all.push((if needs { 0 } else { rank }, one.name));
        }
        all.sort();
        Ok(all.into_iter().map(|(_, name)| name).collect())
    }

    /// Whether an active webhook is failing, of which something failed lately or last; what holds its line is looked
    /// for elsewhere.
    fn fails(&self, one: &Standing, now_ms: i64) -> Result<bool, Error> {
        let (connection, name) = (&self.connection, &one.name);
        if given_up(connection, name, now_ms - HOUR_MS).doing(STEP)? > 0 {
            return Ok(true);
        }
        if !one.failed_last {
            return Ok(false);
        }
        let length_ms = HOUR_MS / 12;
        let first = start_of(now_ms - HOUR_MS, length_ms) + length_ms;
        let hour = lately(connection, ("5min", length_ms, first), name, None).doing(STEP)?;
        let busy = hour.attempts > 0 || self.oldest_pending(name)?.is_some();
        Ok(hour.attempts == hour.failures && busy)
    }
}

/// A webhook, as far as its own row says it.
struct Standing {
    name: String,
    is_active: bool,
    /// Whether its newest attempt was no success.
    failed_last: bool,
    /// When it last failed, where it may be failing.
    doubt: Option<i64>,
}

fn standing(connection: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Standing>> {
    connection
        .prepare_cached(
            "SELECT name, state = 'active', last_success_at, last_failure_at FROM webhook
              WHERE state <> 'removed'",
        )?
        .query_map([], |row| {
            let is_active = row.get(1)?;
            let [success, failure]: [Option<i64>; 2] = [row.get(2)?, row.get(3)?];
            let failed_last = failure > success;
            let lately = failure.is_some_and(|at| at >= now_ms - 2 * HOUR_MS);
            Ok(Standing {
                name: row.get(0)?,
                is_active,
                failed_last,
                doubt: failure.filter(|_| is_active && (failed_last || lately)),
            })
        })?
        .collect()
}

fn row(connection: &Connection, name: &str) -> rusqlite::Result<Option<WebhookHealth>> {
    connection
        .prepare_cached(
            "SELECT name, state, last_success_at, last_failure_at, last_error
               FROM webhook WHERE name = ?1 AND state <> 'removed'",
        )?
        .query_row([name], webhook_row)
        .optional()
}

/// Of a webhook, the spans of that name and length from the first start on.
fn lately(
    connection: &Connection,
    (span, length_ms, first): (&str, i64, i64),
    name: &str,
    above_ms: Option<i64>,
) -> rusqlite::Result<Lately> {
    let sql = format!(
        "WITH RECURSIVE s (start) AS (SELECT ?2 UNION ALL SELECT start + ?3 FROM s WHERE start < ?2 + ?4)
         SELECT r.webhook, sum(attempts), sum(failures){} FROM s CROSS JOIN rollup r
          WHERE r.span = ?1 AND r.start = s.start AND r.webhook = ?5 GROUP BY r.webhook",
        sums()
    );
    // A span more than there are: a clock may have been set.
    let back_ms = if span == "hour" { DAY_MS } else { HOUR_MS };
    let read = connection
        .prepare_cached(&sql)?
        .query_row(params![span, first, length_ms, back_ms, name], |row| {
            lately_row(row, above_ms)
        })
        .optional();
    Ok(read?.unwrap_or_default())
}

/// A webhook's hours of the last day into `hours`, and its last 30 days.
fn by_time(
    connection: &Connection,
    name: &str,
    now_ms: i64,
    hours: &mut [HourCounts],
) -> rusqlite::Result<[HourCounts; DAYS]> {
    const SQL: &str = "WITH RECURSIVE s (start) AS (SELECT ?2 UNION ALL SELECT start + ?3 FROM s WHERE start < ?4)
       SELECT r.start, r.attempts, r.failures FROM s CROSS JOIN rollup r
        WHERE r.span = ?1 AND r.start = s.start AND r.webhook = ?5";
    let mut days = [HourCounts::default(); DAYS];
    let (this_hour, today) = (start_of(now_ms, HOUR_MS), start_of(now_ms, DAY_MS));
    let back = |count: usize| i64::try_from(count - 1).unwrap_or(0);
    let first_hour = this_hour - back(hours.len()) * HOUR_MS;
    let first_day = today - back(DAYS) * DAY_MS;
    let spans = [
        ("hour", this_hour - HOURS_KEPT * HOUR_MS, HOUR_MS, this_hour),
        ("day", first_day, DAY_MS, today),
    ];
    let place = |start: i64, first: i64, length_ms| {
        let after = usize::try_from(start - first).ok()?;
        Some(after / usize::try_from(length_ms).ok()?)
    };
    for (span, first, length_ms, last) in spans {
        let mut statement = connection.prepare_cached(SQL)?;
        let mut rows = statement.query(params![span, first, length_ms, last, name])?;
        while let Some(row) = rows.next()? {
            let start = row.get(0)?;
            let day = place(start, first_day, DAY_MS).and_then(|place| days.get_mut(place));
            let hour = place(start, first_hour, HOUR_MS).filter(|_| span == "hour");
            let hour = hour.and_then(|place| hours.get_mut(place));
            for counts in day.into_iter().chain(hour) {
                counts.attempts += row.get::<_, i64>(1)?;
                counts.failures += row.get::<_, i64>(2)?;
            }
        }
    }
    Ok(days)
}

/// What is in memory's hands: how many of each webhook, and when the oldest of them was made.
fn queued(connection: &Connection) -> rusqlite::Result<HashMap<String, (i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT n.name, q.count, q.oldest FROM (
               SELECT webhook_id, count(*) AS count, min(created_at) AS oldest FROM queued GROUP BY webhook_id) q
               JOIN webhook_name n ON n.id = q.webhook_id",
        )?
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect()
}

/// When the oldest of a hundred was made that are due first.
fn oldest_parked(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT min(created_at) FROM (SELECT created_at FROM parked INDEXED BY parked_due
               WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) ORDER BY due_at LIMIT 100)",
        )?
        .query_row([name], |row| row.get(0))
}

fn start_of(time_ms: i64, length_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(length_ms)
}
