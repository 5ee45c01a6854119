//! Events of webhooksd itself: made in the transaction that makes the fact, at most one for each.
//!
//! They are parked like what did not fit into memory, and whoever committed tells the lanes. A pause is a row that
//! anybody may write, so a second table says which were told of: what differs is told by whoever comes first, in
//! the transaction that writes that down. Where no webhook asks there is no [`Teller`], and none of this costs
//! a query or a row.
//!
//! Left out: who gets them and what they say, which is the value that a reload exchanges ([`Announce`]); and the
//! calls by which it is (`announce`).

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::books::Books;
use super::insert::Made;
use super::turn::Turns;
use crate::model::own::{WORDS, is_own, next_id};
use crate::model::{
    Announce, Attempt, DeliveryId, EventId, Fact, FanOut, Generation, Halt, PayloadId, Rejected,
    Trigger,
};

/// Pauses that have ended, by what was told.
const ENDED: &str = "SELECT t.webhook, t.since, t.reason FROM pause_told t
  WHERE NOT EXISTS (SELECT 1 FROM pause p WHERE p.webhook = t.webhook) AND ?1 = ?1 ORDER BY t.webhook";

/// Pauses that were not told of. One that is over by then holds nobody back any more.
const BEGUN: &str = "SELECT p.webhook, p.since, p.reason FROM pause p
  WHERE (p.until IS NULL OR p.until > ?1)
    AND NOT EXISTS (SELECT 1 FROM pause_told t WHERE t.webhook = p.webhook AND t.since = p.since)
  ORDER BY p.webhook";

/// Why a delivery was given up that can't be sent.
pub(super) const UNREADABLE: &str = "its row in the log can't be read";

/// What the writer knows of events of webhooksd itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    announcer: Option<Announcer>,
    /// The webhooks that got some since it was asked last.
    made: Vec<Arc<str>>,
}

#[derive(Clone)]
struct Announcer(Arc<dyn Announce>);

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Announcer(..)")
    }
}

impl Own {
    /// Has them made by that from now on; `None`: nobody asks for any.
    pub(super) fn announce_by(&mut self, announce: Option<Arc<dyn Announce>>) {
        self.announcer = announce.map(Announcer);
    }

    /// The webhooks that got some since it was asked last.
    pub(super) fn take_made(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.made)
    }

    /// Who tells of what a transaction makes, where somebody asks.
    pub(super) fn teller(&self) -> Option<Teller> {
        let announcer = self.announcer.clone()?;
        Some(Teller {
            announcer,
            made: Vec::new(),
        })
    }

    /// What it told is committed.
    pub(super) fn told(&mut self, teller: Option<Teller>) {
        for name in teller.into_iter().flat_map(|teller| teller.made) {
            if !self.made.contains(&name) {
                self.made.push(name);
            }
        }
    }
}

/// Tells of facts within one transaction. All else of it has to be written by then, for ids are above all that is there.
pub(super) struct Teller {
    announcer: Announcer,
    made: Vec<Arc<str>>,
}

impl Teller {
    /// Makes an event of each fact, and its deliveries, due now.
    pub(super) fn tell(
        &mut self,
        t: &Transaction<'_>,
        (books, turns): (&mut Books, &mut Turns),
        facts: &[Fact],
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        if facts.is_empty() {
            return Ok(());
        }
        let last: Option<EventId> = t
            .prepare_cached("SELECT event_id FROM own WHERE one = 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let events = self.events(last.unwrap_or(EventId::NONE), facts, now_ms);
        let Some(last) = events.last() else {
            return Ok(());
        };
        t.prepare_cached(
            "INSERT INTO own (one, event_id, asked) VALUES (1, ?1, 1)
               ON CONFLICT (one) DO UPDATE SET event_id = excluded.event_id",
        )?
        .execute([last.event_id])?;
        let generation: Option<Generation> = t
            .prepare_cached("SELECT generation FROM cursor")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let made = Made {
            generation: generation.unwrap_or_default(),
            origin: Trigger::Event,
            now_ms,
        };
        made.fan_out(t, (books, turns, &mut |_| false), &events, &|_| false)?;
        self.made(events);
        Ok(())
    }

    /// Takes note of who gets them.
    pub(super) fn made(&mut self, events: Vec<FanOut>) {
        let webhooks = events.into_iter().flat_map(|event| event.webhooks);
        self.made.extend(webhooks.map(|(name, _)| name));
    }

    /// Those that somebody wants, behind the last that was given out. An id is given to no other.
    pub(super) fn events(&self, mut last: EventId, facts: &[Fact], now_ms: i64) -> Vec<FanOut> {
        let mut events = Vec::with_capacity(facts.len());
        for fact in facts {
            let id = next_id(last, now_ms);
            if let Some(event) = self.announcer.0.announce(fact, id, now_ms) {
                last = id;
                events.push(event);
            }
        }
        events
    }

    /// Tells of the pauses that were made or have ended since that was last told, and writes down that it was.
    pub(super) fn pauses(
        &mut self,
        t: &Transaction<'_>,
        (books, turns): (&mut Books, &mut Turns),
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let (ended, begun) = differences(t, now_ms)?;
        let mut forget = t.prepare_cached("DELETE FROM pause_told WHERE webhook = ?1")?;
        for halt in &ended {
            forget.execute([&halt.webhook])?;
        }
        let mut know = t.prepare_cached(
            "INSERT OR REPLACE INTO pause_told (webhook, since, reason) VALUES (?1, ?2, ?3)",
        )?;
        for halt in &begun {
            know.execute(params![halt.webhook, halt.since_ms, halt.reason])?;
        }
        let facts = ended.into_iter().map(Fact::Resumed);
        let facts: Vec<_> = facts.chain(begun.into_iter().map(Fact::Paused)).collect();
        self.tell(t, (books, turns), &facts, now_ms)
    }

    /// Tells of the deliveries that were given up at these attempts, and of pauses where one has changed.
    pub(super) fn attempts(
        &mut self,
        t: &Transaction<'_>,
        (books, turns): (&mut Books, &mut Turns),
        given_up: &[&Attempt],
        pauses_changed: bool,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let mut facts = Vec::with_capacity(given_up.len());
        for attempt in given_up {
            let due = &attempt.due;
            if is_told(t, due.origin, due.payload_id, (due.event_id, &due.event))? {
                facts.push(failure(t, attempt)?);
            }
        }
        self.tell(t, (books, turns), &facts, now_ms)?;
        if pauses_changed {
            self.pauses(t, (books, turns), now_ms)?;
        }
        Ok(())
    }

    /// Tells of deliveries that were given up because nothing of them can be sent. Of one whose body is gone it is
    /// not known what it was of, so nothing is told.
    pub(super) fn unreadable(
        &mut self,
        t: &Transaction<'_>,
        (books, turns): (&mut Books, &mut Turns),
        ids: &[DeliveryId],
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let mut facts = Vec::with_capacity(ids.len());
        for id in ids {
            facts.extend(unreadable(t, *id)?);
        }
        self.tell(t, (books, turns), &facts, now_ms)
    }
}

/// Whether it is told that a delivery was given up: of none of webhooksd's own events, and of no test, nor where a
/// test is sent again.
fn is_told(
    t: &Transaction<'_>,
    origin: Trigger,
    payload_id: PayloadId,
    (event_id, event): (EventId, &str),
) -> rusqlite::Result<bool> {
    if is_own(event_id, event) {
        return Ok(false);
    }
    match origin {
        Trigger::Event | Trigger::Replay => Ok(true),
        Trigger::Test => Ok(false),
        // A test has its body for itself, and what ended before stands in one of these.
        Trigger::Redelivery => t
            .prepare_cached(
                "SELECT NOT EXISTS (SELECT 1 FROM ended WHERE payload_id = ?1 AND origin = 3)
                    AND NOT EXISTS (SELECT 1 FROM attempt WHERE payload_id = ?1 AND origin = 3)",
            )?
            .query_row([payload_id], |row| row.get(0)),
    }
}

fn failure(t: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<Fact> {
    let (due, answer) = (&attempt.due, attempt.exchange.result.as_ref().ok());
    Ok(Fact::Failed {
        webhook: due.webhook.clone(),
        delivery: due.id,
        event: due.event.clone(),
        event_id: due.event_id,
        attempts: attempt.sends(),
        status: answer.map(|answer| answer.status),
        error: attempt.error.as_deref().map(cut),
        tenant: tenant(t, due.payload_id)?,
    })
}

fn unreadable(t: &Transaction<'_>, id: DeliveryId) -> rusqlite::Result<Option<Fact>> {
    type Found = (
        Option<String>,
        Option<String>,
        Option<EventId>,
        u32,
        String,
        PayloadId,
    );
    let found: Option<Found> = t
        .prepare_cached(
            "SELECT webhook, event, event_id, attempts, origin, payload_id FROM delivery WHERE id = ?1",
        )?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((Some(webhook), Some(event), Some(event_id), attempts, origin, payload_id)) = found
    else {
        return Ok(None);
    };
    let origin = Trigger::from_name(&origin).unwrap_or(Trigger::Event);
    if !is_told(t, origin, payload_id, (event_id, &event))? {
        return Ok(None);
    }
    Ok(Some(Fact::Failed {
        webhook: webhook.into(),
        delivery: id,
        event: event.into(),
        event_id,
        attempts,
        status: None,
        error: Some(UNREADABLE.to_owned()),
        tenant: tenant(t, payload_id)?,
    }))
}

/// Rows that were set aside.
pub(super) fn rejections(rows: &[Rejected]) -> Vec<Fact> {
    let fact = |row: &Rejected| Fact::Rejected {
        event: row.event.clone(),
        event_id: row.event_id,
        reason: cut(&row.reason),
        tenant: row.tenant.clone(),
    };
    rows.iter().map(fact).collect()
}

/// Whose event a body is of.
fn tenant(t: &Transaction<'_>, payload_id: PayloadId) -> rusqlite::Result<Option<Box<str>>> {
    let tenant = t
        .prepare_cached("SELECT tenant FROM payload WHERE id = ?1")?
        .query_row([payload_id], |row| {
            // What is no text was written by somebody else, and stops nobody.
            Ok(row.get_ref(0)?.as_str().ok().map(Into::into))
        })
        .optional()?;
    Ok(tenant.flatten())
}

/// The pauses that have ended and those that have begun since that was last told.
pub(super) fn differences(
    connection: &Connection,
    now_ms: i64,
) -> rusqlite::Result<(Vec<Halt>, Vec<Halt>)> {
    let halts = |sql: &str| -> rusqlite::Result<Vec<Halt>> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_map([now_ms], halt)?.collect()
    };
    Ok((halts(ENDED)?, halts(BEGUN)?))
}

/// Words that are no UTF-8 were written by somebody else, and stop nobody.
fn halt(row: &Row<'_>) -> rusqlite::Result<Halt> {
    let text = |index| -> rusqlite::Result<Option<String>> {
        let bytes = row.get_ref(index)?.as_bytes_or_null()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    Ok(Halt {
        webhook: text(0)?.unwrap_or_default().into(),
        since_ms: row.get(1)?,
        reason: text(2)?,
    })
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(WORDS).collect()
}
