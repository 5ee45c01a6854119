//! Writes attempts and what follows from them, many in one transaction.
//!
//! A success always counts, whatever became of the delivery meanwhile: the endpoint has it. A retry
//! or the end of the schedule changes only what is still pending, so a delivery that was cancelled
//! during its last attempt stays cancelled. The attempt is in the log in any case.

use std::collections::HashSet;
use std::net::SocketAddr;

use rusqlite::{Transaction, params};

use super::batch::{self, Posts};
use super::bodies::{forget, keeps_answer};
use super::books::Books;
use super::headers::share_answer;
use super::rows::{self, Insert, Values, text_or_blob};
use super::streak::Streaks;
use super::texts::Cell;
use super::turn::Turns;
use super::{Error, Store, held, next, words};
use crate::model::{Attempt, AttemptId, Bodies, Class, DeliveryId, SentHeaders, Signed, Verdict};

const ATTEMPT: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO attempt
  (id, delivery_id, payload_id, webhook_id, origin, number, time, waited, took, outcome, status,
   duration_us, name_us, connect_us, proxy_us, tls_us, head_us, body_us, url, peer, class, error, note,
   signature, request_headers, response_date, response_truncated, response_headers, response_body)",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

/// Of what is pending in one table: it has ended, and is in the table of those that were not delivered.
const GIVEN_UP: [&str; 2] = [
    "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
     SELECT id, webhook_id, payload_id, origin, 0, ?2, created_at, ?3 FROM queued WHERE id = ?1",
    "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
     SELECT id, webhook_id, payload_id, origin, 0, ?2, created_at, ?3 FROM parked WHERE id = ?1",
];

/// What was in memory's hands waits for its time.
const PARK: &str =
    "INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
  SELECT id, webhook_id, payload_id, origin, ?2, ?3, created_at FROM queued WHERE id = ?1";

const RETRY: &str = "UPDATE parked SET attempts = ?2, due_at = ?3 WHERE id = ?1";

/// What is no longer pending was attempted all the same.
const COUNTED: &str = "UPDATE ended SET attempts = ?2 WHERE id = ?1";

impl Store {
    /// Writes attempts and the states that follow, all or nothing.
    ///
    /// # Errors
    /// The log can't be written: then none of them is in it, and the deliveries are still pending.
    pub fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error> {
        let bodies = self.bodies;
        let mut streaks = std::mem::take(&mut self.streaks);
        let mut turns = std::mem::take(&mut self.turns);
        let ended = attempts.iter().map(|attempt| attempt.finished_at_ms);
        turns.at(ended.max().unwrap_or_default());
        let recorded = self.record_with(bodies, (&mut streaks, &mut turns), attempts);
        (self.streaks, self.turns) = (streaks, turns);
        let last_id = recorded?;
        for attempt in attempts {
            self.tally.add(
                &attempt.due.webhook,
                attempt.started_at_ms,
                attempt.exchange.duration_us,
                attempt.verdict == Verdict::Delivered,
                attempt.error.as_deref(),
            );
        }
        self.tally.counted_to(last_id);
        Ok(())
    }

    fn record_with(
        &mut self,
        bodies: Bodies,
        (streaks, turns): (&mut Streaks, &mut Turns),
        attempts: &[Attempt],
    ) -> Result<AttemptId, Error> {
        let mut teller = self.own.teller();
        let recorded = self.transact_by_heart("record attempts", |t, books| {
            let (again, given_up) = settle(t, attempts)?;
            batch::settle(t, attempts)?;
            let last_id = insert(t, (&mut *books, bodies), attempts, &again)?;
            forget(t, bodies, attempts)?;
            held::note(t, books, attempts)?;
            turns.note(t, books, attempts)?;
            for attempt in attempts {
                // A POST of several that fails is one failure.
                if streaks.concerns(attempt)
                    && (attempt.stands_for_its_post() || is_delivered(attempt))
                {
                    streaks.note(t, attempt)?;
                }
            }
            if let Some(teller) = &mut teller {
                let ended = attempts.iter().map(|attempt| attempt.finished_at_ms);
                let now_ms = ended.max().unwrap_or_default();
                teller.attempts(t, (books, turns), &given_up, streaks.changed, now_ms)?;
            }
            Ok(last_id)
        })?;
        self.own.told(teller);
        Ok(recorded)
    }
}

fn is_delivered(attempt: &Attempt) -> bool {
    attempt.verdict == Verdict::Delivered
}

/// Returns the id of the last row. `again`: what was delivered before.
fn insert(
    t: &Transaction<'_>,
    (books, bodies): (&mut Books, Bodies),
    attempts: &[Attempt],
    again: &HashSet<DeliveryId>,
) -> rusqlite::Result<AttemptId> {
    let mut words = Words::default();
    let mut id = next::attempt(t)?.get() - 1;
    let mut posts = Posts::default();
    ATTEMPT.all(t, attempts, |attempt, values| {
        id += 1;
        let webhook_id = books.webhook(t, &attempt.due.webhook)?;
        books.note(t, AttemptId::new(id), webhook_id)?;
        let answer = attempt.exchange.result.as_ref().ok();
        let again = attempt.verdict == Verdict::Delivered && again.contains(&attempt.due.id);
        bind_delivery(attempt, (id, webhook_id, again), values)?;
        bind_exchange(t, books, attempt, &mut words, values)?;
        if let Some(first) = posts.note(id, attempt)
            && batch::is_shared(bodies)
        {
            return values.add(answer.map(|_| first));
        }
        let body = answer.filter(|_| keeps_answer(bodies, attempt));
        values.add(body.map(|answer| text_or_blob(&answer.body)))
    })?;
    posts.write(t, bodies)?;
    Ok(AttemptId::new(id))
}

/// What is written over and over.
#[derive(Default)]
struct Words {
    peers: Peers,
    shared: String,
}

/// The last peer in words: to write an address down is 2 % of what is computed for a delivery, and most
/// attempts of a batch went to the same one.
#[derive(Default)]
struct Peers(Option<(SocketAddr, String)>);

impl Peers {
    fn text(&mut self, peer: SocketAddr) -> &str {
        let (last, text) = self.0.get_or_insert_with(|| (peer, peer.to_string()));
        if *last != peer {
            (*last, *text) = (peer, peer.to_string());
        }
        text
    }
}

fn bind_delivery(
    attempt: &Attempt,
    (id, webhook_id, again): (i64, i64, bool),
    values: &mut Values<'_, '_>,
) -> rusqlite::Result<()> {
    let due = &attempt.due;
    values.add(id)?;
    values.add(due.id)?;
    values.add(due.payload_id)?;
    values.add(webhook_id)?;
    values.add(words::of_origin(due.origin))?;
    values.add(attempt.number)?;
    values.add(attempt.started_at_ms)?;
    values.add(attempt.started_at_ms - due.created_at_ms)?;
    values.add(attempt.finished_at_ms - attempt.started_at_ms)?;
    values.add(if again {
        words::AGAIN
    } else {
        words::of_verdict(attempt.verdict)
    })
}

/// All but the answer's body, which is the last.
fn bind_exchange(
    t: &Transaction<'_>,
    books: &mut Books,
    attempt: &Attempt,
    words: &mut Words,
    values: &mut Values<'_, '_>,
) -> rusqlite::Result<()> {
    let time_ms = attempt.started_at_ms;
    let exchange = &attempt.exchange;
    let phases = &exchange.phases;
    let answer = exchange.result.as_ref().ok();
    values.add(answer.map(|a| a.status))?;
    values.add(exchange.duration_us)?;
    values.add(phases.name_us)?;
    values.add(phases.connect_us)?;
    values.add(phases.proxy_us)?;
    values.add(phases.tls_us)?;
    values.add(phases.head_us)?;
    values.add(phases.body_us)?;
    values.add(books.texts.cell(t, attempt.url.text(), time_ms)?)?;
    match exchange.peer {
        Some(peer) => values.add(books.texts.cell(t, words.peers.text(peer), time_ms)?)?,
        None => values.add(None::<i64>)?,
    }
    values.add(exchange.class().map(Class::name))?;
    values.add(&attempt.error)?;
    values.add(&exchange.note)?;
    bind_request(t, books, attempt, values)?;
    let (date, headers) = match answer {
        Some(answer) => {
            let (date, cell) =
                answer_headers(t, books, answer.headers.lines(), time_ms, &mut words.shared)?;
            (date, Some(cell))
        }
        None => (None, None),
    };
    values.add(date)?;
    values.add(answer.map(|a| a.truncated))?;
    values.add(headers)
}

/// The signature and the headers.
fn bind_request(
    t: &Transaction<'_>,
    books: &mut Books,
    attempt: &Attempt,
    values: &mut Values<'_, '_>,
) -> rusqlite::Result<()> {
    let sent = &attempt.request_headers;
    if let SentHeaders::Shared {
        lines, signature, ..
    } = sent
        && let Some(row) = books.texts.row_of(t, lines, attempt.started_at_ms)?
    {
        match signature {
            Some(Signed::Digest(bytes)) => values.add(&bytes[..])?,
            Some(Signed::Run(text)) => values.add(&**text)?,
            None => values.add(None::<i64>)?,
        }
        return values.add(row);
    }
    values.add(None::<i64>)?;
    values.add(sent.text())
}

fn answer_headers<'a>(
    t: &Transaction<'_>,
    books: &mut Books,
    block: &'a str,
    time_ms: i64,
    shared: &mut String,
) -> rusqlite::Result<(Option<i64>, Cell<'a>)> {
    if let Some(date) = share_answer(block, time_ms, shared) {
        let row = books.texts.row(t, shared, time_ms)?;
        return Ok(match row {
            Some(row) => (Some(date), Cell::Row(row)),
            None => (None, Cell::Itself(block.into())),
        });
    }
    Ok((None, books.texts.cell(t, block, time_ms)?))
}

/// Writes what becomes of the deliveries. Returns those that had been delivered before, and at which attempts one
/// was given up.
fn settle<'a>(
    t: &Transaction<'_>,
    attempts: &'a [Attempt],
) -> rusqlite::Result<(HashSet<DeliveryId>, Vec<&'a Attempt>)> {
    let mut given_up = Vec::new();
    let delivered = attempts.iter().filter(|a| a.verdict == Verdict::Delivered);
    let delivered: Vec<DeliveryId> = delivered.map(|attempt| attempt.due.id).collect();
    let again = end_delivered(t, &delivered)?;
    for attempt in attempts {
        let (id, number) = (attempt.due.id, attempt.sends());
        let changed = match attempt.verdict {
            Verdict::Delivered => continue,
            Verdict::Failed => give_up(t, id, number, attempt.finished_at_ms)?,
            Verdict::RetryAt(due_at_ms) => retry(t, id, number, due_at_ms)?,
        };
        if changed == 0 {
            t.prepare_cached(COUNTED)?.execute(params![id, number])?;
        } else if attempt.verdict == Verdict::Failed {
            given_up.push(attempt);
        }
    }
    Ok((again, given_up))
}

/// A success counts whatever became of the delivery: what is pending is so no more, what had ended has
/// been delivered instead, and what had been delivered before is returned.
fn end_delivered(t: &Transaction<'_>, ids: &[DeliveryId]) -> rusqlite::Result<HashSet<DeliveryId>> {
    let mut again = HashSet::new();
    let mut ended = rows::delete(t, "queued", ids)?;
    if ended < ids.len() {
        ended += rows::delete(t, "parked", ids)?;
    }
    if ended < ids.len() {
        rows::delete(t, "ended", ids)?;
        let mut before = t.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM attempt WHERE delivery_id = ?1 AND outcome = 1)",
        )?;
        let mut of_batch = HashSet::new();
        for id in ids {
            if !of_batch.insert(*id) || before.query_row([id], |row| row.get(0))? {
                again.insert(*id);
            }
        }
    }
    Ok(again)
}

fn give_up(
    t: &Transaction<'_>,
    id: DeliveryId,
    number: u32,
    finished_at_ms: i64,
) -> rusqlite::Result<usize> {
    for (table, sql) in ["queued", "parked"].into_iter().zip(GIVEN_UP) {
        let moved = t
            .prepare_cached(sql)?
            .execute(params![id, number, finished_at_ms])?;
        if moved > 0 {
            return rows::delete(t, table, &[id]);
        }
    }
    Ok(0)
}

fn retry(
    t: &Transaction<'_>,
    id: DeliveryId,
    number: u32,
    due_at_ms: i64,
) -> rusqlite::Result<usize> {
    let parked = t
        .prepare_cached(PARK)?
        .execute(params![id, number, due_at_ms])?;
    if parked > 0 {
        return rows::delete(t, "queued", &[id]);
    }
    t.prepare_cached(RETRY)?
        .execute(params![id, number, due_at_ms])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_written_down_as_itself() {
        let mut peers = Peers::default();
        for text in ["127.0.0.1:80", "127.0.0.1:80", "[::1]:443", "127.0.0.1:80"] {
            assert_eq!(peers.text(text.parse().unwrap()), text);
        }
    }
}
