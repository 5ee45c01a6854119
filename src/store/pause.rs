//! Pauses: which webhooks begin no attempt, as it stands in the log for people to change by SQL.
//!
//! A row is a pause. Left out: what a pause does to a lane (`pipeline/send/gate.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::error::Doing as _;
use super::faults::DoingWith as _;
use super::{Error, Reader, Store};
use crate::model::Pause;

const ALL: &str = "SELECT p.webhook, p.since, p.until, p.reason, s.next_at
  FROM pause p LEFT JOIN self_paused s ON s.webhook = p.webhook ORDER BY p.webhook";

impl Store {
    /// Every pause, by the webhook's name; those that are over among them.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn pauses(&mut self) -> Result<Vec<Pause>, Error> {
        all(&self.connection).doing_with(&self.faults, "read which webhooks are paused")
    }

    /// Pauses a webhook, in the place of what pause it had.
    ///
    /// # Errors
    /// The log can't be written, or does not know the webhook: then nothing has changed.
    pub fn pause(&mut self, pause: &Pause) -> Result<(), Error> {
        let mut teller = self.own.teller();
        let mut turns = std::mem::take(&mut self.turns);
        let done = self.transact_by_heart("pause a webhook", |t, books| {
            t.prepare_cached(
                "INSERT INTO pause (webhook, since, until, reason) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                pause.webhook,
                pause.since_ms,
                pause.until_ms,
                pause.reason
            ])?;
            match &mut teller {
                Some(teller) => teller.pauses(t, (books, &mut turns), pause.since_ms),
                None => Ok(()),
            }
        });
        self.turns = turns;
        done?;
        self.own.told(teller);
        Ok(())
    }

    /// Ends a webhook's pause. Whether there was one.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn resume(&mut self, webhook: &str, now_ms: i64) -> Result<bool, Error> {
        let mut teller = self.own.teller();
        let mut turns = std::mem::take(&mut self.turns);
        let done = self.transact_by_heart("resume webhooks", |t, books| {
            let deleted = t
                .prepare_cached("DELETE FROM pause WHERE webhook = ?1")?
                .execute([webhook])?;
            if let Some(teller) = &mut teller {
                teller.pauses(t, (books, &mut turns), now_ms)?;
            }
            Ok(deleted > 0)
        });
        self.turns = turns;
        let resumed = done?;
        self.own.told(teller);
        Ok(resumed)
    }

    /// Ends the pauses that are over by then. Where there is none, nothing is written.
    ///
    /// # Errors
    /// The log can't be read or written.
    pub fn end_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        let any: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM pause WHERE until <= ?1)")
            .and_then(|mut s| s.query_row([now_ms], |row| row.get(0)))
            .doing_with(&self.faults, "look for pauses that are over")?;
        if !any {
            return Ok(());
        }
        let mut teller = self.own.teller();
        let mut turns = std::mem::take(&mut self.turns);
        let done = self.transact_by_heart("resume webhooks", |t, books| {
            t.prepare_cached("DELETE FROM pause WHERE until <= ?1")?
                .execute([now_ms])?;
            match &mut teller {
                Some(teller) => teller.pauses(t, (books, &mut turns), now_ms),
                None => Ok(()),
            }
        });
        self.turns = turns;
        done?;
        self.own.told(teller);
        Ok(())
    }
}

impl Store {
    /// Has these webhooks pause themselves once every attempt failed for so many milliseconds.
    ///
    /// # Errors
    /// The log can't be read: then those of before do.
    pub fn pause_by_themselves(&mut self, spans_ms: HashMap<Arc<str>, i64>) -> Result<(), Error> {
        let failing = self
            .connection
            .prepare_cached("SELECT webhook FROM streak UNION SELECT webhook FROM self_paused")
            .and_then(|mut s| {
                let names = s.query_map([], |row| row.get::<_, String>(0))?;
                names.map(|name| Ok(name?.into())).collect()
            })
            .doing_with(&self.faults, "read which webhooks fail")?;
        (self.streaks.spans_ms, self.streaks.failing) = (spans_ms, failing);
        Ok(())
    }

    /// Whether what was recorded has changed a pause since it was asked last.
    pub fn take_pauses_changed(&mut self) -> bool {
        std::mem::take(&mut self.streaks.changed)
    }
}

impl Reader {
    /// The pauses that are in force then, by the webhook's name.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn pauses(&self, now_ms: i64) -> Result<Vec<Pause>, Error> {
        let mut pauses = known(&self.connection).doing("read which webhooks are paused")?;
        pauses.retain(|pause| !pause.is_over(now_ms));
        Ok(pauses)
    }
}

/// The same of a log that may be of an earlier shape, which a daemon of that version serves yet.
pub(super) fn known(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    let has_pauses: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'self_paused')")?
        .query_row([], |row| row.get(0))?;
    if has_pauses {
        all(connection)
    } else {
        Ok(Vec::new())
    }
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    connection
        .prepare_cached(ALL)?
        .query_map([], read)?
        .collect()
}

/// Words that are no UTF-8 were written by somebody else, and stop nobody.
fn read(row: &Row<'_>) -> rusqlite::Result<Pause> {
    let text = |index| -> rusqlite::Result<Option<_>> {
        let bytes = row.get_ref(index)?.as_bytes_or_null()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into()))
    };
    Ok(Pause {
        webhook: text(0)?.unwrap_or_default(),
        since_ms: row.get(1)?,
        until_ms: row.get(2)?,
        reason: text(3)?,
        next_try_ms: row.get(4)?,
    })
}
