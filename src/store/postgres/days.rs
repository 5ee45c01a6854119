//! Days: the tables that attempts and bodies lie in, one for each day of UTC.
//!
//! Ids come from the clock, so a day is a range of them, and a table for it is attached a week before anything gets there:
//! to attach one waits for no reader. Ids are never moved on to a day that has no table. What has a smaller id than the
//! first day is in a table of its own (`schema/0002.sql`). Left out: how a day goes (`going`).

mod going;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::model::when::{date_of, midnight_of};
use crate::postgres::{Link, Trouble};
use crate::store::tally::DAY_MS;

pub(crate) use going::Gone;
pub(super) use going::USED;
pub(crate) use going::{expire_days, make_days, shed_days};

const STEP: &str = "make the days";

/// 2026 began: ids are 1,024 for each millisecond since.
const EPOCH_MS: i64 = 1_767_225_600_000;

const IDS_A_MS: i64 = 1_024;

/// More than a sequence is ever ahead of another one by: an attempt's id is above its delivery's and its body's, less so
/// many. What looks for attempts of one of these looks at no day before.
pub(super) const SLACK: i64 = DAY_MS * IDS_A_MS;

/// So many days have a table before they begin.
const AHEAD: i64 = 8;

/// So many have to, before a node begins: the rest is whoever leads to make.
const AT_LEAST: i64 = 1;

/// What lies by days.
pub(super) const TABLES: [&str; 2] = ["attempt", "payload"];

/// A table that is to go says so itself: whoever comes next goes on with it, and one that somebody has detached by hand
/// stays.
const GOES: &str = "webhooksd: this day goes";

const LIST: &str =
    "SELECT c.relname::text, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false),
       coalesce(obj_description(c.oid, 'pg_class') = $1, false),
       substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''?(-?[0-9]+)''?\\)')::bigint
  FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
 WHERE c.relnamespace = to_regnamespace('webhooksd') AND c.relkind = 'r'
   AND c.relname ~ '^(attempt|payload)_(old|[0-9]{8})$' ORDER BY c.relname";

const LAST_IDS: &str =
    "SELECT a.last_value, p.last_value FROM webhooksd.attempt_id_seq a, webhooksd.payload_id_seq p";

/// Ids come from sequences, and by the clock: before a node begins, and while one leads, each is moved on to 1,024 for
/// each millisecond since 2026, never back. So a server that took over and lacks the last commits gives none of their ids
/// again, and an id alone tells a delivery, a body or an attempt.
const MOVE_ON: &str =
    "SELECT CASE WHEN d.last_value < $1 THEN setval('webhooksd.delivery_id', $1) END,
       CASE WHEN p.last_value < $1 THEN setval('webhooksd.payload_id_seq', $1) END,
       CASE WHEN a.last_value < $1 THEN setval('webhooksd.attempt_id_seq', $1) END
  FROM webhooksd.delivery_id d, webhooksd.payload_id_seq p, webhooksd.attempt_id_seq a";

/// The first id of a moment.
pub(super) fn id_at(ms: i64) -> i64 {
    ms.saturating_sub(EPOCH_MS).saturating_mul(IDS_A_MS)
}

/// The day in which an id would be given, by its first millisecond.
pub(super) fn day_of_id(id: i64) -> i64 {
    day_of(EPOCH_MS.saturating_add(id.div_euclid(IDS_A_MS)))
}

/// A day's first millisecond.
fn day_of(ms: i64) -> i64 {
    ms - ms.rem_euclid(DAY_MS)
}

/// That an attempt is in none of the days before those of these deliveries or bodies. Numbers stand in the statement
/// itself: it may be planned without its values, and then too only the days are looked at that are meant.
pub(super) fn since(ids: &[i64]) -> String {
    let first = ids.iter().min().copied().unwrap_or_default();
    format!("id > {}", first.saturating_sub(SLACK))
}

/// The same of bodies: that they are in the days of these.
pub(super) fn among(ids: &[i64]) -> String {
    let (first, last) = (ids.iter().min(), ids.iter().max());
    let (first, last) = first.zip(last).unwrap_or((&0, &0));
    format!("id BETWEEN {first} AND {last}")
}

/// A day of one of the two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// Which of [`TABLES`].
    table: usize,
    name: String,
    /// Its first millisecond.
    from_ms: i64,
    is_attached: bool,
    /// It is being detached: nobody who comes now sees it.
    is_leaving: bool,
    /// It says of itself that it goes.
    goes: bool,
}

impl Day {
    fn first_id(&self) -> i64 {
        id_at(self.from_ms)
    }

    fn end_ms(&self) -> i64 {
        self.from_ms + DAY_MS
    }

    fn parent(&self) -> &'static str {
        TABLES.get(self.table).copied().unwrap_or_default()
    }
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// Below which a table has no days.
    edges: [Option<i64>; 2],
    /// How far ids have come.
    last_ids: [i64; 2],
    /// By table and time.
    days: Vec<Day>,
}

/// What a table is, by its row of the list.
type Listed = (String, (bool, bool, bool), Option<i64>);

impl Days {
    pub(super) fn look(link: &Link) -> Result<Self, Trouble> {
        let rows = link.rows(STEP, LIST, &[(&GOES, Type::TEXT)])?;
        let of = |row: &Row| -> Result<Listed, tokio_postgres::Error> {
            let is = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok((row.try_get(0)?, is, row.try_get(4)?))
        };
        let listed: Result<Vec<Listed>, _> = rows.iter().map(of).collect();
        let listed = listed.map_err(|error| Trouble::of_step(&link.server, STEP, error))?;
        let mut all = Self::of(listed);
        let rows = link.rows(STEP, LAST_IDS, &[])?;
        if let Some(row) = rows.first() {
            for (at, last) in all.last_ids.iter_mut().enumerate() {
                let id = row.try_get(at);
                *last = id.map_err(|error| Trouble::of_step(&link.server, STEP, error))?;
            }
        }
        Ok(all)
    }

    fn of(listed: Vec<Listed>) -> Self {
        let mut all = Self::default();
        for (name, (is_attached, is_leaving, goes), upper) in listed {
            let Some((parent, which)) = name.split_once('_') else {
                continue;
            };
            let Some(table) = TABLES.iter().position(|of| *of == parent) else {
                continue;
            };
            if which == "old" {
                if let (Some(edge), true) = (all.edges.get_mut(table), is_attached) {
                    *edge = upper;
                }
            } else if let Some(from_ms) = midnight_of(which) {
                all.days.push(Day {
                    table,
                    from_ms,
                    is_attached,
                    is_leaving,
                    goes,
                    name,
                });
            }
        }
        all
    }

    /// The days from today's on that have no table yet and that something may come into.
    fn missing(&self, now_ms: i64, ahead: i64) -> Vec<(usize, i64)> {
        let mut missing = Vec::new();
        for (table, (edge, last)) in self.edges.iter().zip(&self.last_ids).enumerate() {
            for day in 0..=ahead {
                let from_ms = day_of(now_ms) + day * DAY_MS;
                let is_there = |day: &Day| day.table == table && day.from_ms == from_ms;
                if edge.is_none_or(|edge| id_at(from_ms) >= edge)
                    && id_at(from_ms + DAY_MS) > *last
                    && !self.days.iter().any(is_there)
                {
                    missing.push((table, from_ms));
                }
            }
        }
        missing
    }

    /// Whether what gets an id now has a table.
    fn have_place_for(&self, ms: i64) -> bool {
        let id = id_at(ms);
        (0..TABLES.len()).all(|table| {
            let is_today = |day: &Day| {
                day.table == table
                    && day.is_attached
                    && !day.is_leaving
                    && (day.from_ms..day.end_ms()).contains(&ms)
            };
            let edge = self.edges.get(table).copied().flatten();
            edge.is_some_and(|edge| id < edge) || self.days.iter().any(is_today)
        })
    }

    /// Below which id the rows of each table go one by one, where days of before that time go whole: of attempts those
    /// that no day has. Bodies are used by attempts of the next day too, so theirs have a day more until then, and one
    /// that something needs still is emptied row by row.
    pub(super) fn row_by_row(&self, before_ms: i64) -> [i64; 2] {
        let first = |table: usize, after_ms: i64| {
            let days = self.days.iter().filter(|day| {
                day.table == table && day.from_ms <= before_ms && day.from_ms > after_ms
            });
            days.map(Day::first_id).min().unwrap_or(i64::MAX)
        };
        [first(0, i64::MIN), first(1, before_ms - 2 * DAY_MS)]
    }

    /// Below which id there are no days.
    pub(super) fn edge(&self) -> i64 {
        self.edges[0].unwrap_or(i64::MIN)
    }
}

/// What the server's clock says.
pub(super) fn server_ms(link: &Link) -> Result<i64, Trouble> {
    const STEP: &str = "ask for the server's time";
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let rows = link.rows(STEP, sql, &[])?;
    let now = rows.first().map_or(Ok(0), |row| row.try_get(0));
    now.map_err(|error| Trouble::of_step(&link.server, STEP, error))
}

/// Makes the days that are near, in the caller's transaction.
pub(super) fn make(link: &Link, now_ms: i64) -> Result<(), Trouble> {
    for (table, from_ms) in Days::look(link)?.missing(now_ms, AHEAD) {
        let (parent, date) = (TABLES[table], date_of(from_ms));
        let (first, end) = (id_at(from_ms), id_at(from_ms + DAY_MS));
        let sql = format!(
            "CREATE TABLE webhooksd.{parent}_{date} (LIKE webhooksd.{parent} INCLUDING ALL);
             ALTER TABLE webhooksd.{parent} ATTACH PARTITION webhooksd.{parent}_{date} FOR VALUES FROM ({first}) TO ({end})"
        );
        link.batch(STEP, &sql)?;
    }
    Ok(())
}

/// Sees to it that tomorrow has its tables, before a node begins. Where something is in the way it begins all the same,
/// and ids stay where there are tables.
pub(super) fn at_least(link: &Link) -> Result<i64, Trouble> {
    let now_ms = server_ms(link)?;
    if Days::look(link)?.missing(now_ms, AT_LEAST).is_empty() {
        return Ok(now_ms);
    }
    match make_by_itself(link, now_ms) {
        Err(trouble) if !trouble.is_of_the_statement() => Err(trouble),
        _ => Ok(now_ms),
    }
}

/// The same as [`make`] in a transaction of its own, which waits for others, and they for it, for two seconds at the most.
fn make_by_itself(link: &Link, now_ms: i64) -> Result<(), Trouble> {
    link.batch(
        STEP,
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '2s'; \
         SET LOCAL idle_in_transaction_session_timeout = '2s'",
    )?;
    let made = (|| {
        let sql = "SELECT FROM webhooksd.meta WHERE one = 1 FOR UPDATE";
        link.rows(STEP, sql, &[])?;
        make(link, now_ms)
    })();
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = link.batch(STEP, end);
    made.and(ended)
}

/// Moves ids on, if there is a place for them; under the lock of `meta`, for two who do so at once wait for each other.
pub(super) fn move_on(link: &Link, now_ms: i64) -> Result<(), Trouble> {
    if Days::look(link)?.have_place_for(now_ms) {
        link.rows(STEP, MOVE_ON, &[(&id_at(now_ms), Type::INT8)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = EPOCH_MS + 100 * DAY_MS + 5;

    fn day(name: &str, is_attached: bool) -> Listed {
        (name.to_owned(), (is_attached, false, false), None)
    }

    #[test]
    fn a_day_is_a_range_of_ids_and_named_by_its_date() {
        assert_eq!(date_of(MS), "20260411");
        assert_eq!(midnight_of("20260411"), Some(MS - 5));
        assert_eq!(day_of_id(id_at(MS)), MS - 5);
        assert_eq!(id_at(MS - 5 + DAY_MS) - id_at(MS - 5), SLACK);
    }

    #[test]
    fn ids_are_moved_on_to_where_there_is_a_table_and_nowhere_else() {
        let old = |upper| {
            let of = |name: &str| (name.to_owned(), (true, false, false), Some(upper));
            vec![of("attempt_old"), of("payload_old")]
        };
        let days = Days::of(old(id_at(MS + DAY_MS)));
        assert!(days.have_place_for(MS));
        assert!(!days.have_place_for(MS + 2 * DAY_MS));
        let mut listed = old(id_at(MS - 5));
        assert!(!Days::of(listed.clone()).have_place_for(MS));
        listed.push(day("attempt_20260411", true));
        assert!(!Days::of(listed.clone()).have_place_for(MS), "bodies too");
        listed.push(day("payload_20260411", true));
        let days = Days::of(listed.clone());
        assert!(days.have_place_for(MS));
        assert_eq!(days.missing(MS, 0), []);
        let tomorrow = MS - 5 + DAY_MS;
        assert_eq!(days.missing(MS, 1), [(0, tomorrow), (1, tomorrow)]);
        // Somebody's own.
        listed.push(day("payload_20269999", true));
        assert_eq!(Days::of(listed), days);
    }

    #[test]
    fn rows_go_one_by_one_below_the_days_that_go_whole() {
        let midnight = MS - 5;
        let mut listed = Vec::new();
        for n in 0..4 {
            for table in TABLES {
                listed.push(day(
                    &format!("{table}_{}", date_of(midnight + n * DAY_MS)),
                    true,
                ));
            }
        }
        let days = Days::of(listed);
        let id = |n: i64| id_at(midnight + n * DAY_MS);
        assert_eq!(
            days.row_by_row(midnight - 1),
            [i64::MAX; 2],
            "all is younger"
        );
        assert_eq!(days.row_by_row(midnight + 9), [id(0), id(0)]);
        // A body's day that was over a day before is emptied.
        assert_eq!(days.row_by_row(midnight + 2 * DAY_MS), [id(0), id(1)]);
        assert_eq!(days.row_by_row(midnight + 9 * DAY_MS), [id(0), i64::MAX]);
    }
}
