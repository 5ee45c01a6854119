//! The log's table of webhooks: which there are, since when, and what was last seen of them.
//!
//! A row's `since` and `after_event_id` say from which event on its state holds, so that people can
//! be told why an old event was not sent. Rows are never deleted: a name that left the configuration
//! is `removed`. URLs, secrets and patterns are not kept; those are the configuration's.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Row, Transaction, params};

use super::faults::DoingWith as _;
use super::{Error, Store};
use crate::dialect::longest_attempt_of;
use crate::model::Dialect;

/// What attempts beyond the last edge of the roll-up are said to have taken, milliseconds: none takes longer.
const ABOVE_MS: i64 = 15_000;
/// The same of webhooks of the dialect that waits longer for an answer.
const PATIENT_ABOVE_MS: i64 = 40_000;

const _: () = {
    let mut rest: &[Dialect] = &Dialect::ALL;
    while let [dialect, others @ ..] = rest {
        assert!(
            longest_attempt_of(*dialect).as_millis() <= above_ms(*dialect).unsigned_abs() as u128
        );
        rest = others;
    }
};

const fn above_ms(dialect: Dialect) -> i64 {
    match dialect {
        Dialect::BoldCms | Dialect::BoldFactory | Dialect::OpenboxesLift => ABOVE_MS,
        Dialect::StandardWebhooks => PATIENT_ABOVE_MS,
    }
}

/// The webhooks that wait longer for an answer, each with what an attempt beyond the last edge is said to have taken.
pub(super) fn patient(webhooks: &[(Arc<str>, Dialect)]) -> BTreeMap<String, i64> {
    let patient = webhooks.iter().filter_map(|(name, dialect)| {
        let above_ms = above_ms(*dialect);
        (above_ms != ABOVE_MS).then(|| (name.to_string(), above_ms))
    });
    patient.collect()
}

impl Store {
    /// Makes the table say what the configuration says: each name with whether it is active; names
    /// that are not in it are removed. A row is written only where that changes something.
    ///
    /// # Errors
    /// The log can't be written: then the table is as it was.
    pub fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) -> Result<(), Error> {
        self.transact("register webhooks", |t| register(t, webhooks, now_ms))
    }

    /// Makes the log say which webhooks wait longer for an answer. It is written only where that changes.
    ///
    /// # Errors
    /// The log can't be written: then it says what it said.
    pub fn know_dialects(&mut self, webhooks: &[(Arc<str>, Dialect)]) -> Result<(), Error> {
        let known: BTreeMap<String, i64> = self
            .connection
            .prepare_cached("SELECT webhook, above_ms FROM patient")
            .and_then(|mut statement| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
                statement.query_map([], row)?.collect()
            })
            .doing_with(&self.faults, "read which webhooks wait longer")?;
        let patient = patient(webhooks);
        if patient == known {
            return Ok(());
        }
        self.transact("register webhooks", |t| {
            t.execute("DELETE FROM patient", [])?;
            let mut insert =
                t.prepare_cached("INSERT INTO patient (webhook, above_ms) VALUES (?1, ?2)")?;
            for (name, above_ms) in &patient {
                insert.execute(params![name, above_ms])?;
            }
            Ok(())
        })
    }
}

fn register(
    t: &Transaction<'_>,
    webhooks: &[(Arc<str>, bool)],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut upsert = t.prepare_cached(
        "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
         VALUES (?1, ?2, ?3, ?3, coalesce((SELECT generation FROM cursor), 0),
                 coalesce((SELECT event_id FROM cursor), 0))
         ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since,
           generation = excluded.generation, after_event_id = excluded.after_event_id
         WHERE state <> excluded.state",
    )?;
    for (name, active) in webhooks {
        let state = if *active { "active" } else { "inactive" };
        upsert.execute(params![name, state, now_ms])?;
    }
    let known: std::collections::HashSet<&str> = webhooks.iter().map(|(n, _)| &**n).collect();
    let mut names = t.prepare_cached("SELECT name FROM webhook WHERE state <> 'removed'")?;
    let gone: Vec<String> = names
        .query_map([], |row| row.get::<_, String>(0))?
        .filter(|name| !matches!(name, Ok(name) if known.contains(name.as_str())))
        .collect::<rusqlite::Result<_>>()?;
    for name in gone {
        upsert.execute(params![name, "removed", now_ms])?;
    }
    Ok(())
}
