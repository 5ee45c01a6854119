//! How a log gets its shape: a new one by all files there are, one of an earlier version by those that it lacks.
//!
//! An earlier version's nodes go on meanwhile, and afterwards: what they say by name means the same. Of what takes long
//! nothing is under a lock that somebody waits for; what needs such a lock waits for it for less than two seconds, again
//! and again, for some minutes. Left out: whether there is a log (`place`).

use tokio_postgres::types::Type;

use super::VERSION;
use super::days::{self, day_of_id, id_at};
use super::roster::AGREED;
use crate::postgres::{Link, Trouble};
use crate::store::tally::DAY_MS;

const FIRST: &str = include_str!("schema/0001.sql");
const SECOND: &str = include_str!("schema/0002.sql");
const VIEWS: &str = include_str!("views.sql");

const STEP: &str = "bring the log to this version";

/// As long as an autovacuum that is in the way takes to give way, and little more.
const BRIEFLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '1500ms'; SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// So often, half a second apart.
const TRIES: u32 = 80;

/// Days from today whose rows still go where those of before are: what is being written while the rows are read.
const MARGIN: i64 = 3;

/// What ids have to be below until the log is brought over. Where that is broken off and never done again, they come to
/// this edge, and whoever reads why knows what to do.
const BOUND: &str = "\"`webhooksd migrate` was broken off: run it again\"";

/// Makes the tables, the days that are near and the views, in the caller's transaction.
pub(super) fn make(link: &Link) -> Result<(), Trouble> {
    let now_ms = days::server_ms(link)?;
    link.batch("make the log", FIRST)?;
    link.batch(
        "make the log",
        &second(id_at(now_ms - now_ms.rem_euclid(DAY_MS))),
    )?;
    link.batch("make the log", VIEWS)?;
    link.batch("make the log", AGREED)?;
    days::make(link, now_ms)
}

/// Whether all views and triggers of this version are there.
const WHOLE: &str = "SELECT
  (SELECT count(*) FROM pg_catalog.pg_class
    WHERE relnamespace = to_regnamespace('webhooksd') AND relkind = 'v'
      AND relname IN ('delivery', 'log', 'again', 'failed', 'held', 'health'))
  + (SELECT count(*) FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
      WHERE c.relnamespace = to_regnamespace('webhooksd')
        AND t.tgname IN ('redelivery', 'pause_checked', 'pause_of_one', 'pause_ended')) = 10";

/// Puts back what somebody has dropped of a log's views and triggers: people's orders by SQL go by them.
pub(super) fn mend(link: &Link) -> Result<(), Trouble> {
    let rows = link.rows(STEP, WHOLE, &[])?;
    let is_whole = rows.first().map_or(Ok(true), |row| row.try_get(0));
    if is_whole.map_err(|error| Trouble::of_step(&link.server, STEP, error))? {
        return Ok(());
    }
    briefly(link, VIEWS)
}

fn second(edge: i64) -> String {
    SECOND
        .replace("{edge}", &edge.to_string())
        .replace("{bound}", BOUND)
}

/// Brings a log of an earlier version to this one's; where that fails, it is what it was.
pub(super) fn bring_up(link: &Link) -> Result<(), Trouble> {
    let brought = bring(link);
    if brought.is_err() {
        // Left alone it says itself what to do.
        drop(briefly(link, &unbound()).err());
    }
    brought
}

/// From the first shape to the second.
fn bring(link: &Link) -> Result<(), Trouble> {
    let edge = edge(link)?;
    let tables = || days::TABLES.iter();
    let bounds = tables().map(|table| {
        format!(
            "ALTER TABLE webhooksd.{table} DROP CONSTRAINT IF EXISTS {BOUND},
               ADD CONSTRAINT {BOUND} CHECK (id < {edge}) NOT VALID;"
        )
    });
    briefly(link, &unless_done(&bounds.collect::<String>()))?;
    for table in tables() {
        let sql = format!(
            "DO $$ BEGIN
               IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'webhooksd.{table}'::regclass AND conname = {})
               THEN ALTER TABLE webhooksd.{table} VALIDATE CONSTRAINT {BOUND}; END IF;
             END $$",
            BOUND.replace('"', "'")
        );
        link.batch("read the rows of the log", &sql)?;
    }
    let swap = format!(
        "LOCK TABLE webhooksd.attempt, webhooksd.payload IN ACCESS EXCLUSIVE MODE; {} {VIEWS}
         UPDATE webhooksd.meta SET version = {VERSION};",
        second(edge)
    );
    again_and_again(link, || {
        link.batch(STEP, BRIEFLY)?;
        let rows = link.rows(
            STEP,
            "SELECT FROM webhooksd.meta WHERE one = 1 AND version < $1 FOR UPDATE",
            &[(&VERSION, Type::INT4)],
        )?;
        // Another one was first.
        if rows.is_empty() {
            return Ok(());
        }
        link.batch(STEP, &swap)?;
        days::make(link, days::server_ms(link)?)
    })
}

/// Above all ids that are given until the rows of before are read.
fn edge(link: &Link) -> Result<i64, Trouble> {
    let sql = "SELECT greatest(pg_sequence_last_value('webhooksd.attempt_id_seq'),
                  pg_sequence_last_value('webhooksd.payload_id_seq'), 0)";
    let rows = link.rows(STEP, sql, &[])?;
    let newest = rows.first().map_or(Ok(0), |row| row.try_get(0));
    let newest: i64 = newest.map_err(|error| Trouble::of_step(&link.server, STEP, error))?;
    let last_ms = days::server_ms(link)?.max(day_of_id(newest));
    Ok(id_at(
        last_ms - last_ms.rem_euclid(DAY_MS) + MARGIN * DAY_MS,
    ))
}

/// What another one has done meanwhile is not done again.
fn unless_done(sql: &str) -> String {
    format!(
        "DO $$ BEGIN IF (SELECT version < {VERSION} FROM webhooksd.meta WHERE one = 1) THEN {sql} END IF; END $$"
    )
}

fn unbound() -> String {
    let drops = days::TABLES
        .iter()
        .map(|table| format!("ALTER TABLE webhooksd.{table} DROP CONSTRAINT IF EXISTS {BOUND};"));
    unless_done(&drops.collect::<String>())
}

fn briefly(link: &Link, sql: &str) -> Result<(), Trouble> {
    again_and_again(link, || {
        link.batch(STEP, BRIEFLY)?;
        link.batch(STEP, sql)
    })
}

/// Does something in a transaction, which it has begun, until it gets its locks.
fn again_and_again(link: &Link, work: impl Fn() -> Result<(), Trouble>) -> Result<(), Trouble> {
    let mut tries = 1;
    loop {
        let done = work();
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = link.batch(STEP, end);
        match done {
            Err(trouble) if trouble.is_waiting() && tries < TRIES => tries += 1,
            done => return done.and(ended),
        }
        link.rows(STEP, "SELECT pg_sleep(0.5)", &[])?;
    }
}
