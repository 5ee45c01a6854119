//! The node's own row, by which it is known whether it still lives and what became of its last commit.
//!
//! The row's counter goes up in every transaction and is its first statement, so one whose answer was lost has ended, one
//! way or the other, by the time that the row can be read under its lock. A node whose row is gone was declared dead: it
//! takes a new one, and what it still has to tell of others' webhooks is told as facts. Left out: who declares whom dead,
//! and who owns what (`roster`).

use std::collections::HashSet;

use super::values::{int, word};
use crate::model::{Attempt, DeliveryId, EventId, Generation};
use crate::postgres::{Link, Opening, Trouble, What};
use crate::store::nodes::{Me, NodeId};
use crate::store::postgres::days::{self, SLACK};

/// How long a statement may take, and how long a transaction may lie between two of them: a node that is stopped holds
/// no lock for longer, which is less than the usual lease: whoever takes over waits for its row. Two that meet at a row wait for each other, whatever isolation the user is given.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '25s'; \
    SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '2s'";

/// Where 0 rows: this node is declared dead, or a commit of ours is there or gone that is thought otherwise.
const ALIVE: &str =
    "UPDATE webhooksd.node SET batch = batch + 1 WHERE id = $1::uuid AND batch = $2";

/// Two nodes that begin at once wait for each other.
const META: &str = "SELECT FROM webhooksd.meta WHERE one = 1 FOR UPDATE";

/// A row of this node's own.
#[derive(Debug)]
pub(super) struct Node {
    /// Who this node is, for all connections of the process.
    pub(super) me: Me,
    /// Whose counter `batch` is.
    id: NodeId,
    /// Its counter, as far as is known here.
    pub(super) batch: i64,
}

/// The node's own row as a transaction has to find it.
#[derive(Debug)]
pub(super) struct Fence {
    id: NodeId,
    batch: i64,
}

impl Fence {
    /// What opens the transaction, with a statement that changes one row; where it changes none, nothing may be written.
    pub(super) fn opening<T>(
        &self,
        begin: &str,
        open: impl FnOnce(&Opening<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let id = &*self.id;
        open(&Opening {
            begin,
            sql: ALIVE,
            values: &[word(&id), int(&self.batch)],
        })
    }
}

/// What a node finds of itself when it connects anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All that it knows of is there, and nothing else.
    AsItWas,
    /// The last transaction was committed, though nobody said so.
    Committed,
    /// A failover has taken commits back.
    TakenBack,
    /// It was declared dead.
    Dead,
}

/// Takes a row of its own. What is whose is the roster's.
pub(super) fn begin(link: &Link, name: &str) -> Result<Node, Trouble> {
    const STEP: &str = "take a node's row";
    let now_ms = days::at_least(link)?;
    link.batch(STEP, BEGIN)?;
    link.rows(STEP, META, &[])?;
    days::move_on(link, now_ms)?;
    let (id, batch) = enter(link, STEP, name)?;
    link.batch(STEP, "COMMIT")?;
    let me = Me::new(id.clone(), name.into());
    Ok(Node { me, id, batch })
}

/// A new row.
fn enter(link: &Link, step: &'static str, name: &str) -> Result<(NodeId, i64), Trouble> {
    let sql =
        "INSERT INTO webhooksd.node (name, version) VALUES ($1, $2) RETURNING id::text, batch";
    let rows = link.rows(step, sql, &[word(&name), word(&env!("CARGO_PKG_VERSION"))])?;
    let row = rows.first();
    let row = row.ok_or_else(|| Trouble::new(&link.server, What::Exchanged))?;
    Ok((row.get::<_, String>(0).into(), row.get(1)))
}

impl Node {
    /// The row's id, as statements take it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What counts a transaction that begins now; `None`: none may be made by what is known here.
    pub(super) fn fence(&self) -> Option<Fence> {
        // Where its row is another one by now, the next connection begins with that.
        (*self.id == *self.me.id()).then(|| Fence {
            id: self.id.clone(),
            batch: self.batch,
        })
    }

    fn compare(&self, batch: i64) -> Found {
        match batch.cmp(&self.batch) {
            std::cmp::Ordering::Equal => Found::AsItWas,
            std::cmp::Ordering::Greater => Found::Committed,
            std::cmp::Ordering::Less => Found::TakenBack,
        }
    }

    /// Looks at its row by a new connection, and goes on from there.
    pub(super) fn rejoin(&mut self, link: &Link) -> Result<Found, Trouble> {
        const STEP: &str = "take a node's row";
        let now_ms = days::at_least(link)?;
        link.batch(STEP, BEGIN)?;
        link.rows(STEP, META, &[])?;
        days::move_on(link, now_ms)?;
        // A transaction of before that is still open there is waited for: it has its row's lock.
        let sql = "SELECT batch FROM webhooksd.node WHERE id = $1::uuid FOR UPDATE";
        let batch_of = |id: &NodeId| -> Result<Option<i64>, Trouble> {
            let rows = link.rows(STEP, sql, &[word(&&**id)])?;
            Ok(rows.first().map(|row| row.get(0)))
        };
        let now = self.me.id();
        let (id, batch, found) = match batch_of(&self.id)? {
            Some(batch) if now == self.id => (now, batch, self.compare(batch)),
            // The roster was told that this node is dead, and has a row for it already.
            _ if now != self.id
                && let Some(batch) = batch_of(&now)? =>
            {
                (now, batch, Found::Dead)
            }
            _ => {
                let (id, batch) = enter(link, STEP, &self.me.name)?;
                (id, batch, Found::Dead)
            }
        };
        link.batch(STEP, "COMMIT")?;
        self.me.become_anew(id.clone());
        (self.id, self.batch) = (id, batch);
        Ok(found)
    }
}

/// Attempts by what tells them apart: the delivery, its number, and when it began.
pub(super) type Key = (DeliveryId, u32, i64);

pub(super) fn key(attempt: &Attempt) -> Key {
    (attempt.due.id, attempt.number, attempt.started_at_ms)
}

/// What a transaction was about whose commit was not answered, and what is in the log though nobody was told so.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Of the transaction that is being made.
    now: Option<About>,
    /// Of the last one, where it is not known yet.
    last: Option<About>,
    /// What was found of the node while that was not known.
    found: Option<Found>,
    /// Of one that was committed, until it is asked for again.
    pub(super) attempts: HashSet<Key>,
    pub(super) events: HashSet<(Generation, EventId)>,
}

#[derive(Debug)]
enum About {
    Attempts(Vec<Key>),
    Events(Vec<(Generation, EventId)>),
}

impl Doubt {
    /// The next transaction records these.
    pub(super) fn about_attempts(&mut self, attempts: &[Attempt]) {
        self.now = Some(About::Attempts(attempts.iter().map(key).collect()));
    }

    /// The next transaction takes these in.
    pub(super) fn about_events(
        &mut self,
        generation: Generation,
        ids: impl Iterator<Item = EventId>,
    ) {
        self.now = Some(About::Events(ids.map(|id| (generation, id)).collect()));
    }

    /// That transaction has ended; `sure`: it is known how.
    pub(super) fn ended(&mut self, sure: bool) {
        let about = self.now.take();
        if !sure {
            self.last = about;
        }
    }

    /// What came of the last transaction, by what its node finds. Whether it has taken events in.
    pub(super) fn settle(&mut self, link: &Link, found: Found) -> Result<bool, Trouble> {
        let Some(last) = &self.last else {
            return Ok(false);
        };
        let found = *self.found.get_or_insert(found);
        let is_there = match found {
            Found::AsItWas | Found::TakenBack => false,
            Found::Committed => true,
            Found::Dead => last.is_there(link)?,
        };
        self.found = None;
        match self.last.take().filter(|_| is_there) {
            Some(About::Attempts(keys)) => self.attempts.extend(keys),
            Some(About::Events(ids)) => {
                self.events = ids.into_iter().collect();
                return Ok(true);
            }
            None => {}
        }
        Ok(false)
    }
}

impl About {
    /// Whether it is in the log, where the node's row does not tell: all of it is, or nothing.
    fn is_there(&self, link: &Link) -> Result<bool, Trouble> {
        const STEP: &str = "look what was committed";
        let rows = match self {
            Self::Attempts(keys) => {
                let Some((id, number, time_ms)) = keys.first().copied() else {
                    return Ok(false);
                };
                let (id, number) = (id.get(), i64::from(number));
                let sql = "SELECT FROM webhooksd.attempt
                    WHERE delivery_id = $1 AND number = $2 AND time = $3 AND id > $4";
                let day = id.saturating_sub(SLACK);
                link.rows(
                    STEP,
                    sql,
                    &[int(&id), int(&number), int(&time_ms), int(&day)],
                )?
            }
            Self::Events(ids) => {
                let first = ids.first();
                let Some((generation, id)) = first.map(|(of, id)| (of.get(), id.get())) else {
                    return Ok(false);
                };
                let sql = "SELECT event_id FROM webhooksd.payload WHERE event_id = $1 AND generation = $2
                    UNION SELECT event_id FROM webhooksd.rejected WHERE event_id = $1 AND generation = $2";
                link.rows(STEP, sql, &[int(&id), int(&generation)])?
            }
        };
        Ok(!rows.is_empty())
    }
}
