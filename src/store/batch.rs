//! Batches: which deliveries go in one POST, from before it is sent until it is over, and which attempts
//! were one.
//!
//! A batch is written down before its first POST, so that whatever happens between goes again with the same
//! bytes. It is found by the lowest of its deliveries, which is the first that a look at what is due comes
//! to. One of which a delivery is no longer pending is none any more: what is left goes anew. Left out: how
//! batches are made and what becomes of them (`pipeline`).

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Transaction, params};

use super::rows::text_or_blob;
use super::{Error, Store, formed};
use crate::model::{Attempt, AttemptId, Batch, Bodies, DeliveryId, Fate, Posted};

impl Store {
    /// Writes down a batch that is about to be sent.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn form(&mut self, batch: &Batch) -> Result<(), Error> {
        self.transact("form a batch", |t| write(t, batch))
    }
}

fn write(t: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let members: Vec<String> = batch.members.iter().map(ToString::to_string).collect();
    t.prepare_cached("INSERT OR REPLACE INTO batch (first_id, name, members) VALUES (?1, ?2, ?3)")?
        .execute(params![batch.first(), batch.name, members.join(",")])?;
    Ok(())
}

/// What is known of batches while what is due is read.
pub(super) struct Batches {
    any: bool,
    taken: HashSet<DeliveryId>,
}

impl Batches {
    pub(super) fn look(connection: &Connection) -> rusqlite::Result<Self> {
        let mut any = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM batch)")?;
        Ok(Self {
            any: any.query_row([], |row| row.get(0))?,
            taken: HashSet::new(),
        })
    }

    /// Whether that delivery came already, with its batch.
    pub(super) fn has(&self, id: DeliveryId) -> bool {
        self.any && self.taken.contains(&id)
    }

    /// The batch that begins with that delivery.
    pub(super) fn of(
        &self,
        connection: &Connection,
        id: DeliveryId,
    ) -> rusqlite::Result<Option<Arc<Batch>>> {
        if !self.any {
            return Ok(None);
        }
        Ok(formed::read(connection, id)?.map(Arc::new))
    }

    /// They came with their batch.
    pub(super) fn take(&mut self, members: &[DeliveryId]) {
        self.taken.extend(members);
    }
}

/// Writes what becomes of the batches that these attempts were POSTs of.
pub(super) fn settle(t: &Transaction<'_>, attempts: &[Attempt]) -> rusqlite::Result<()> {
    let mut last: Option<&Posted> = None;
    for posted in attempts.iter().filter_map(|a| a.posted.as_ref()) {
        if last.is_some_and(|last| Arc::ptr_eq(&last.batch, &posted.batch)) {
            continue;
        }
        last = Some(posted);
        if posted.fate == Fate::Again {
            continue;
        }
        t.prepare_cached("DELETE FROM batch WHERE first_id = ?1")?
            .execute([posted.batch.first()])?;
        for half in posted.halves.iter().flat_map(|halves| halves.iter()) {
            write(t, half)?;
        }
    }
    Ok(())
}

/// The POSTs of several attempts, while those are written.
#[derive(Default)]
pub(super) struct Posts<'a> {
    /// The first and the last attempt of each, and one of its attempts.
    posts: Vec<(i64, i64, &'a Attempt)>,
}

impl<'a> Posts<'a> {
    /// Takes note of the attempt of that id. Returns the first of its POST, where it was one of several.
    pub(super) fn note(&mut self, id: i64, attempt: &'a Attempt) -> Option<i64> {
        let posted = attempt.posted.as_ref()?;
        if let Some((first, last, of)) = self.posts.last_mut()
            && let Some(before) = &of.posted
            && Arc::ptr_eq(&before.batch, &posted.batch)
        {
            *last = id;
            return Some(*first);
        }
        self.posts.push((id, id, attempt));
        Some(id)
    }

    /// Writes them, with the answers' bodies where those are kept once for all.
    pub(super) fn write(&self, t: &Transaction<'_>, bodies: Bodies) -> rusqlite::Result<()> {
        for (first, last, attempt) in &self.posts {
            let answer = attempt.exchange.result.as_ref().ok();
            let body = answer.filter(|_| is_shared(bodies));
            let body = body.map_or(ToSqlOutput::Borrowed(ValueRef::Null), |answer| {
                text_or_blob(&answer.body)
            });
            let name = attempt.posted.as_ref().map(|posted| &posted.batch.name);
            t.prepare_cached(
                "INSERT INTO posted (first_attempt_id, last_attempt_id, batch, response_body)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![first, last, name, body])?;
        }
        Ok(())
    }
}

/// Forgets the POSTs up to that attempt of which no attempt is left.
pub(super) fn forget_posts(t: &Transaction<'_>, up_to: AttemptId) -> rusqlite::Result<usize> {
    t.prepare_cached(
        "DELETE FROM posted WHERE first_attempt_id <= ?1
            AND NOT EXISTS (SELECT 1 FROM attempt a
                             WHERE a.id BETWEEN posted.first_attempt_id AND posted.last_attempt_id)",
    )?
    .execute([up_to])
}

/// Whether the answer to a POST is kept once. Where it goes with its delivery's success, each has its own.
pub(super) fn is_shared(bodies: Bodies) -> bool {
    bodies == Bodies::All
}
