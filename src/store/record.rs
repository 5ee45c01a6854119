//! Writes attempts and what follows from them, many in one transaction.
//!
//! A success always counts, whatever became of the delivery meanwhile: the endpoint has it. A retry
//! or the end of the schedule changes only what is still pending, so a delivery that was cancelled
//! during its last attempt stays cancelled. The attempt is in the log in any case.

use std::net::SocketAddr;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Transaction, params};

use super::rows::{Insert, Values};
use super::{Error, Store};
use crate::model::{Attempt, AttemptId, Verdict};

const ATTEMPT: Insert = Insert {
    into: "INSERT OR ROLLBACK INTO attempt
  (delivery_id, webhook, number, time, outcome, status, duration_us, name_us, connect_us, tls_us,
   head_us, body_us, class, error, peer, url, request_headers, response_truncated,
   response_headers, response_body, note)",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

const DELIVERED: &str = "UPDATE delivery SET state = 'delivered', attempts = ?2, due_at = NULL,
  finished_at = ?3 WHERE id = ?1";

const FAILED: &str = "UPDATE delivery SET state = 'failed', attempts = ?2, due_at = NULL,
  finished_at = ?3 WHERE id = ?1 AND state = 'pending'";

const RETRY: &str =
    "UPDATE delivery SET attempts = ?2, due_at = ?3 WHERE id = ?1 AND state = 'pending'";

/// What is no longer pending was attempted all the same.
const COUNTED: &str = "UPDATE delivery SET attempts = ?2 WHERE id = ?1";

impl Store {
    /// Writes attempts and the states that follow, all or nothing.
    ///
    /// # Errors
    /// The log can't be written: then none of them is in it, and the deliveries are still pending.
    pub fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error> {
        let last_id = self.transact("record attempts", |t| {
            let last_id = insert(t, attempts)?;
            settle(t, attempts)?;
            Ok(last_id)
        })?;
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
}

/// Returns the id of the last row.
fn insert(t: &Transaction<'_>, attempts: &[Attempt]) -> rusqlite::Result<AttemptId> {
    let mut peers = Peers::default();
    ATTEMPT.all(t, attempts, |attempt, values| {
        bind(attempt, values, &mut peers)
    })?;
    Ok(AttemptId::new(t.last_insert_rowid()))
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

fn bind(attempt: &Attempt, values: &mut Values<'_, '_>, peers: &mut Peers) -> rusqlite::Result<()> {
    let exchange = &attempt.exchange;
    let phases = &exchange.phases;
    let answer = exchange.result.as_ref().ok();
    let failure = exchange.result.as_ref().err();
    values.add(attempt.due.id)?;
    values.add(&attempt.due.webhook)?;
    values.add(attempt.number)?;
    values.add(attempt.started_at_ms)?;
    values.add(attempt.outcome())?;
    values.add(answer.map(|a| a.status))?;
    values.add(exchange.duration_us)?;
    values.add(phases.name_us)?;
    values.add(phases.connect_us)?;
    values.add(phases.tls_us)?;
    values.add(phases.head_us)?;
    values.add(phases.body_us)?;
    values.add(failure.map(|f| f.class.name()))?;
    values.add(&attempt.error)?;
    values.add(exchange.peer.map(|peer| peers.text(peer)))?;
    values.add(attempt.url.text())?;
    values.add(&attempt.request_headers)?;
    values.add(answer.map(|a| a.truncated))?;
    values.add(answer.map(|a| a.headers.lines()))?;
    values.add(answer.map(|a| text_or_blob(&a.body)))?;
    values.add(&exchange.note)
}

/// TEXT where people can read it. A NUL would end the text for SQL's functions and the shell.
fn text_or_blob(body: &[u8]) -> ToSqlOutput<'_> {
    let readable = !body.contains(&0) && std::str::from_utf8(body).is_ok();
    ToSqlOutput::Borrowed(if readable {
        ValueRef::Text(body)
    } else {
        ValueRef::Blob(body)
    })
}

fn settle(t: &Transaction<'_>, attempts: &[Attempt]) -> rusqlite::Result<()> {
    let mut delivered = t.prepare_cached(DELIVERED)?;
    let mut failed = t.prepare_cached(FAILED)?;
    let mut retry = t.prepare_cached(RETRY)?;
    let mut counted = t.prepare_cached(COUNTED)?;
    for attempt in attempts {
        let (id, number, finished_at) = (attempt.due.id, attempt.number, attempt.finished_at_ms);
        let changed = match attempt.verdict {
            Verdict::Delivered => delivered.execute(params![id, number, finished_at])?,
            Verdict::Failed => failed.execute(params![id, number, finished_at])?,
            Verdict::RetryAt(due_at) => retry.execute(params![id, number, due_at])?,
        };
        if changed == 0 {
            counted.execute(params![id, number])?;
        }
    }
    Ok(())
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
