//! The one writer of a log in PostgreSQL: how it connects, and the one way in which it commits.
//!
//! Each call is one transaction. It begins with the node's own row, whose counter goes up by one: a node that was
//! declared dead has no row and writes nothing, and where the answer to a commit was lost, the counter says what became
//! of it (`node`). A connection that fails is dropped, and the next call makes another one: whoever called tries again.
//! Left out: what is written. Each kind of it has a file of its own beside this one.

mod admits;
mod attempts;
mod batches;
mod bodies;
mod clamp;
mod dues;
mod gaps;
mod groups;
mod ids;
mod insert;
mod node;
mod obeys;
mod orders;
mod own;
mod pauses;
mod queues;
mod records;
mod retains;
mod rollup;
mod rows;
mod shares;
mod streak;
mod syncs;
mod transaction;
mod turns;
mod uncounted;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Row;

use super::place::prepare;
use super::roster::Table;
use crate::model::{Bodies, DeliveryId, LogId, Server, crash};
use crate::postgres::{Link, Trouble, Value, What};
use crate::store::nodes::Roster as _;
use crate::store::own::Own;
use crate::store::passes::{Pass, SweepPass};
use crate::store::streak::Streaks;
use crate::store::tally::Tally;
use crate::store::writes::LogWriter;
use crate::store::{Error, Lost};
use clamp::ClampPass;
use node::{BEGIN, Doubt, Node};
use transaction::{Read, Transaction, read};
use turns::Turns;
use uncounted::Uncounted;

/// Events, attempts and what follows from them wait for no disk: the WAL keeps their order, and what a crash of the
/// server takes of them, at most its last 0.6 s, is done again. Their statements are planned without their values: a plan
/// with them has a copy of each array, of all bodies too, and would be the same.
const BEGIN_UNSYNCED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '25s'; \
    SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '2s'; SET LOCAL synchronous_commit = off; \
    SET LOCAL plan_cache_mode = force_generic_plan";

/// The transactions that wait for no disk.
const UNSYNCED: [&str; 7] = [
    "admit events",
    "make owed deliveries",
    "form a batch",
    "record attempts",
    "write the roll-up",
    "park deliveries",
    "pass turns on",
];

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Writer {
    server: Arc<Server>,
    /// None where it failed, until the next call.
    link: Option<Link>,
    log_id: LogId,
    /// This node's row.
    node: Node,
    /// What the transaction was about whose commit was not answered.
    doubt: Doubt,
    /// Whether something that is in hand is in nobody's hands.
    lost: Lost,
    /// What memory was handed, as far as is known here. Bounded by what memory holds.
    hands: HashSet<DeliveryId>,
    /// Whether something was committed since that was asked last.
    unsynced: bool,
    /// Whether rows may be in hand that are not known here: by the opening, and where a failover took commits back.
    all_lost: bool,
    /// The roll-up of what was recorded since the last flush.
    tally: Tally,
    /// What other nodes had recorded as this one came, and may be in no roll-up.
    uncounted: Option<Uncounted>,
    /// Who has an order, and whose turn it is.
    turns: Turns,
    /// Whose bodies stay.
    bodies: Bodies,
    /// Where the clock-step pass goes on.
    clamp: ClampPass,
    /// Deliveries that were given up because they can't be read, since it was asked last.
    unreadable: Vec<DeliveryId>,
    /// Who fails, and pauses itself.
    streaks: Streaks,
    /// Who tells of what happens here, and whom.
    own: Own,
    /// Where the retention pass goes on.
    sweep: SweepPass,
    /// Where the look for what goes early goes on.
    early: Option<Pass>,
    /// What others have written, as last seen.
    others: Option<String>,
    /// How often the cursor has moved, as far as is known here.
    moves: i64,
    /// The delivery up to which it was asked what others gave to this node's webhooks.
    given_to: Option<i64>,
    /// The moment of the last such look, where it found nothing.
    quiet: Option<String>,
}

impl Writer {
    /// Connects to a log, makes it where the database has none, and takes a node's row. Attempts that a crash kept out of
    /// the roll-up are counted now.
    pub(crate) fn open(server: &Arc<Server>, node: &str, now_ms: i64) -> Result<Self, Error> {
        let link = Link::open(server).map_err(Error::Server)?;
        let log_id = prepare(&link).map_err(Error::Server)?;
        let node = node::begin(&link, node).map_err(Error::Server)?;
        let mut writer = Self {
            server: server.clone(),
            link: Some(link),
            log_id,
            node,
            doubt: Doubt::default(),
            lost: Lost::default(),
            hands: HashSet::new(),
            unsynced: true,
            all_lost: true,
            tally: Tally::default(),
            uncounted: None,
            turns: Turns::default(),
            bodies: Bodies::default(),
            clamp: ClampPass::default(),
            unreadable: Vec::new(),
            streaks: Streaks::default(),
            own: Own::default(),
            sweep: SweepPass::default(),
            early: None,
            others: None,
            moves: 0,
            given_to: None,
            quiet: None,
        };
        writer.lost.tell();
        if let Err(error) = writer.begin(now_ms) {
            // Nobody is to wait for a sign of life of one that never was. What fails now fails for the same reason.
            drop(Table::new(server).leave(&writer.node.me.id()));
            return Err(error);
        }
        Ok(writer)
    }

    /// What was there before.
    fn begin(&mut self, now_ms: i64) -> Result<(), Error> {
        self.turns = self.standing_turns()?;
        self.moves = self.moves_of_cursor()?;
        self.others = Some(self.of_others()?);
        self.catch_up(now_ms)
    }

    /// Runs `work` in one transaction, which begins with this node's fence; nothing of it stays where it fails.
    fn transact<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        let mut sure = true;
        let done = self.transact_once(step, work, &mut sure);
        if done.is_err() {
            // With the connection goes the transaction, and whoever was to have something in hand has it not.
            self.link = None;
            self.lost.tell();
        }
        self.doubt.ended(sure);
        done.map_err(Error::Server)
    }

    fn transact_once<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
        sure: &mut bool,
    ) -> Result<T, Trouble> {
        self.connect()?;
        let Some(link) = &self.link else {
            return Err(Trouble::new(&self.server, What::Exchanged));
        };
        let is_unsynced = UNSYNCED.contains(&step);
        let begin = if is_unsynced { BEGIN_UNSYNCED } else { BEGIN };
        let Some(fence) = self.node.fence() else {
            return Err(Trouble::new(&self.server, What::Unknown));
        };
        let transaction = Transaction::new(link, step, begin, fence);
        let worked = work(&transaction).and_then(|value| transaction.open().map(|()| value));
        let value = match worked {
            Ok(value) => value,
            Err(trouble) => {
                // Where the server only refuses, nothing waits for the end of the connection.
                let _ended = link.batch(step, "ROLLBACK");
                return Err(trouble);
            }
        };
        self.hands.extend(transaction.took.into_inner());
        let let_go = transaction.let_go.into_inner();
        crash::point(step, crash::BEFORE_COMMIT);
        *sure = false;
        link.batch(step, "COMMIT")?;
        *sure = true;
        crash::point(step, crash::COMMITTED);
        self.node.batch += 1;
        self.unsynced = true;
        for id in let_go {
            self.hands.remove(&id);
        }
        Ok(value)
    }

    /// Connects anew where there is no connection, and looks what became of what was not answered.
    fn connect(&mut self) -> Result<(), Trouble> {
        if self.link.as_ref().is_some_and(|link| !link.is_closed()) {
            return Ok(());
        }
        (self.link, self.quiet) = (None, None);
        let link = Link::open(&self.server)?;
        let found = self.node.rejoin(&link)?;
        if self.doubt.settle(&link, found)? {
            self.moves += 1;
        }
        if found != node::Found::AsItWas {
            self.lost.tell();
            self.all_lost = true;
            // What memory was done with may be pending again: all of it is looked at.
            self.given_to = self.given_to.map(|_| 0);
        }
        self.link = Some(link);
        Ok(())
    }

    /// What a query finds, by itself.
    fn look<T>(
        &mut self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, Error> {
        self.connect().map_err(Error::Server)?;
        let found = self.read(step, sql, values, of);
        if found.is_err() {
            self.link = None;
        }
        found
    }

    /// The same for who can't change the writer: by a connection of its own where there is none.
    fn read<T>(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, Error> {
        let another;
        let link = match &self.link {
            Some(link) => link,
            None => {
                another = Link::open(&self.server).map_err(Error::Server)?;
                &another
            }
        };
        let found = link.rows(step, sql, values);
        found
            .and_then(|rows| read(link, step, &rows, of))
            .map_err(Error::Server)
    }
}

impl LogWriter for Writer {
    fn log_id(&self) -> LogId {
        self.log_id
    }

    #[cfg(test)]
    fn states(&self) -> Result<Vec<(String, i64)>, Error> {
        let sql = "SELECT state, count(*) FROM webhooksd.delivery GROUP BY state ORDER BY state";
        let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        self.read("count deliveries", sql, &[], of)
    }

    #[cfg(test)]
    fn attempts(&self) -> Result<i64, Error> {
        let sql = "SELECT count(*) FROM webhooksd.attempt";
        let counted = self.read("count attempts", sql, &[], |row| row.try_get(0))?;
        Ok(counted.first().copied().unwrap_or_default())
    }
}
