//! Calls about events of webhooksd itself: whether somebody asks for them, who makes them, and who got some.
//!
//! Left out: how they are made (`own`).

use std::sync::Arc;

use super::error::Doing as _;
use super::faults::DoingWith as _;
use super::own::differences;
use super::{Error, Store};
use crate::model::Announce;

impl Store {
    /// Takes note of whether a webhook asks for events of webhooksd itself. Where that is new, what is a fact
    /// already is not told; where nobody asks any more, nothing of it stays but the last id.
    ///
    /// # Errors
    /// The log can't be read or written: then all is as it was.
    pub(crate) fn ask_for_own(&mut self, asks: bool) -> Result<(), Error> {
        let asked: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM own WHERE asked = 1)")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("look whether somebody asks for events of webhooksd itself")?;
        if asked == asks {
            return Ok(());
        }
        self.transact("ask for own events", |t| {
            t.execute_batch(if asks {
                "INSERT INTO own (one, event_id, asked) VALUES (1, 0, 1)
                   ON CONFLICT (one) DO UPDATE SET asked = 1;
                 INSERT OR REPLACE INTO pause_told (webhook, since, reason)
                 SELECT webhook, since, reason FROM pause"
            } else {
                "UPDATE own SET asked = 0; DELETE FROM pause_told"
            })
        })
    }

    /// Has events of webhooksd itself made by that from now on; `None`: nobody asks for any.
    pub(crate) fn announce_by(&mut self, announce: Option<Arc<dyn Announce>>) {
        self.own.announce_by(announce);
    }

    /// The webhooks that got some since it was asked last: they are due, and in nobody's hands.
    pub(crate) fn take_announced(&mut self) -> Vec<Arc<str>> {
        self.own.take_made()
    }

    /// Tells of pauses that somebody else has made or ended. Where there is none, nothing is written.
    ///
    /// # Errors
    /// The log can't be read or written: they are told of later.
    pub(crate) fn tell_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        let Some(mut teller) = self.own.teller() else {
            return Ok(());
        };
        let (ended, begun) = differences(&self.connection, now_ms)
            .doing_with(&self.faults, "look for pauses that were not told of")?;
        if ended.is_empty() && begun.is_empty() {
            return Ok(());
        }
        let mut turns = std::mem::take(&mut self.turns);
        let told = self.transact_by_heart("tell of pauses", |t, books| {
            teller.pauses(t, (books, &mut turns), now_ms)
        });
        self.turns = turns;
        told?;
        self.own.told(Some(teller));
        Ok(())
    }
}
