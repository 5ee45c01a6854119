//! Pauses: which webhooks begin no attempt, as rows that people change by SQL too; and who is told of them.
//!
//! What a row does by being there or gone is the triggers' (`views.sql`). Left out: the events (`own`).

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::own::{BEGUN, ENDED, Teller};
use super::values::{clean, int, maybe_int, maybe_word, word};
use super::{Transaction, Writer};
use crate::model::{Announce, Pause};
use crate::postgres::Trouble;
use crate::store::Error;
use crate::store::postgres::read::{PAUSES, pause};
use crate::store::writes::Pauses;

impl Writer {
    /// Changes pauses in a transaction, and tells of what has changed.
    fn change_pauses<T>(
        &mut self,
        step: &'static str,
        now_ms: i64,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        let mut teller = Teller::of(&self.own);
        let mut turns = std::mem::take(&mut self.turns);
        let done = self.transact(step, |t| {
            let changed = change(t)?;
            if let Some(teller) = &mut teller {
                teller.pauses(t, &mut turns, now_ms)?;
            }
            Ok(changed)
        });
        self.turns = turns;
        let changed = done?;
        Teller::told(&mut self.own, teller);
        Ok(changed)
    }
}

impl Pauses for Writer {
    fn pauses(&mut self) -> Result<Vec<Pause>, Error> {
        self.look("read which webhooks are paused", PAUSES, &[], pause)
    }

    fn pause(&mut self, pause: &Pause) -> Result<(), Error> {
        let (webhook, since_ms) = (&*pause.webhook, pause.since_ms);
        let reason = pause.reason.as_deref().map(clean);
        let reason = reason.as_deref();
        self.change_pauses("pause a webhook", since_ms, |t| {
            let sql = "INSERT INTO webhooksd.pause (webhook, since, until, reason) VALUES ($1, $2, $3, $4)";
            let values = [
                word(&webhook),
                int(&since_ms),
                maybe_int(&pause.until_ms),
                maybe_word(&reason),
            ];
            t.execute(sql, &values).map(drop)
        })
    }

    fn resume(&mut self, webhook: &str, now_ms: i64) -> Result<bool, Error> {
        self.change_pauses("resume webhooks", now_ms, |t| {
            let sql = "DELETE FROM webhooksd.pause WHERE webhook = $1";
            Ok(t.execute(sql, &[word(&webhook)])? > 0)
        })
    }

    fn end_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        let (step, over) = (
            "look for pauses that are over",
            "SELECT 1 FROM webhooksd.pause WHERE until <= $1 LIMIT 1",
        );
        if self
            .look(step, over, &[int(&now_ms)], |_| Ok(()))?
            .is_empty()
        {
            return Ok(());
        }
        self.change_pauses("resume webhooks", now_ms, |t| {
            let sql = "DELETE FROM webhooksd.pause WHERE until <= $1";
            t.execute(sql, &[int(&now_ms)]).map(drop)
        })
    }

    fn pause_by_themselves(&mut self, spans_ms: HashMap<Arc<str>, i64>) -> Result<(), Error> {
        let sql =
            "SELECT webhook FROM webhooksd.streak UNION SELECT webhook FROM webhooksd.self_paused";
        let name = |row: &Row| row.try_get::<_, String>(0);
        let failing = self.look("read which webhooks fail", sql, &[], name)?;
        let failing = failing.into_iter().map(Into::into).collect();
        (self.streaks.spans_ms, self.streaks.failing) = (spans_ms, failing);
        Ok(())
    }

    fn take_pauses_changed(&mut self) -> bool {
        std::mem::take(&mut self.streaks.changed)
    }

    fn tell_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        if Teller::of(&self.own).is_none() {
            return Ok(());
        }
        let step = "look for pauses that were not told of";
        let ended = self.look(step, ENDED, &[], |_| Ok(()))?;
        let begun = self.look(step, BEGUN, &[int(&now_ms)], |_| Ok(()))?;
        if ended.is_empty() && begun.is_empty() {
            return Ok(());
        }
        self.change_pauses("tell of pauses", now_ms, |_| Ok(()))
    }

    fn ask_for_own(&mut self, asks: bool) -> Result<(), Error> {
        let step = "look whether somebody asks for events of webhooksd itself";
        let sql = "SELECT 1 FROM webhooksd.own WHERE asked";
        let asked = self.look(step, sql, &[], |_| Ok(()))?;
        if asks != asked.is_empty() {
            return Ok(());
        }
        let sql: &[&str] = if asks {
            &[
                "INSERT INTO webhooksd.own (one, event_id, asked) VALUES (1, 0, true)
                   ON CONFLICT (one) DO UPDATE SET asked = true",
                "INSERT INTO webhooksd.pause_told (webhook, since, reason)
                 SELECT webhook, since, reason FROM webhooksd.pause
                   ON CONFLICT (webhook) DO UPDATE SET since = excluded.since, reason = excluded.reason",
            ]
        } else {
            &[
                "UPDATE webhooksd.own SET asked = false",
                "DELETE FROM webhooksd.pause_told",
            ]
        };
        self.transact("ask for own events", |t| {
            sql.iter().try_for_each(|sql| t.execute(sql, &[]).map(drop))
        })
    }

    fn announce_by(&mut self, announce: Option<Arc<dyn Announce>>) {
        self.own.announce_by(announce);
    }

    fn take_announced(&mut self) -> Vec<Arc<str>> {
        self.own.take_made()
    }
}
